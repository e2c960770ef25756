// Package types has the types of WIT that Go has not.
package types

// The tags of an Option and a Result.
const (
	OptionNone = 0
	OptionSome = 1
	ResultOk   = 0
	ResultErr  = 1
)

// Unit is the type without a value.
type Unit struct{}

// Option is a value, or none.
type Option[T any] struct {
	some  bool
	value T
}

func Some[T any](value T) Option[T] { return Option[T]{true, value} }

func None[T any]() Option[T] { return Option[T]{} }

func (o Option[T]) Tag() uint8 {
	if o.some {
		return OptionSome
	}
	return OptionNone
}

// Some gives the value, which is the zero value where there is none.
func (o Option[T]) Some() T { return o.value }

func (o Option[T]) IsSome() bool { return o.some }

// Result is a value or an error.
type Result[T, E any] struct {
	failed bool
	ok     T
	err    E
}

func Ok[T, E any](value T) Result[T, E] { return Result[T, E]{ok: value} }

func Err[T, E any](err E) Result[T, E] { return Result[T, E]{failed: true, err: err} }

func (r Result[T, E]) Tag() uint8 {
	if r.failed {
		return ResultErr
	}
	return ResultOk
}

func (r Result[T, E]) IsErr() bool { return r.failed }

func (r Result[T, E]) Ok() T { return r.ok }

func (r Result[T, E]) Err() E { return r.err }
