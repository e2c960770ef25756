// Package runtime hands out the memory in which values cross the border.
package runtime

import (
	"runtime"
	"unsafe"
)

// What comes in is written to an arena of its own, not to Go's heap: an allocation there may start the garbage collector, which asks
// for the time, and nothing may be asked of the gateway while it writes. Pages that are never written cost nothing.
const arenaSize = 8 << 20

var (
	arena [arenaSize]byte
	used  uintptr
	// Up to here it is in use for good: WASI's adapter keeps its own state there.
	kept uintptr
)

//go:wasmexport cabi_realloc
func realloc(old unsafe.Pointer, oldSize, align, size uintptr) unsafe.Pointer {
	start := uintptr(unsafe.Pointer(&arena))
	at := (start+used+align-1)&^(align-1) - start
	if old != nil || at > arenaSize || size > arenaSize-at {
		panic("what comes in with one call is too long: raise arenaSize in internal/pkg/wit/runtime")
	}
	used = at + size
	return unsafe.Add(unsafe.Pointer(&arena), at)
}

// Keep makes everything that came in until now stay.
func Keep() { kept = used }

// Reset frees what came in since Keep.
func Reset() { used = kept }

// Unpin is called by the bindings before a hook. What came in is in the arena, so there is nothing to do.
func Unpin() {}

// Allocate makes room for what goes out. It stays until the pinner lets it go.
func Allocate(pinner *runtime.Pinner, size, _ uintptr) unsafe.Pointer {
	if size == 0 {
		return nil
	}
	// Eight bytes are the strictest alignment there is.
	at := unsafe.Pointer(unsafe.SliceData(make([]uint64, (size+7)/8)))
	pinner.Pin(at)
	return at
}
