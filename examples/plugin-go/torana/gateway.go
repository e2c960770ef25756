package torana

import (
	"errors"
	"slices"
	"strings"
	"time"

	"example.com/plugin/internal/wit/imports/torana_plugin_config"
	"example.com/plugin/internal/wit/imports/torana_plugin_kv"
	"example.com/plugin/internal/wit/imports/torana_plugin_log"
	"example.com/plugin/internal/wit/imports/torana_plugin_metrics"
	"example.com/plugin/internal/wit/imports/torana_plugin_outgoing_http"
	"example.com/plugin/internal/wit/imports/torana_plugin_secrets"
	wit "example.com/plugin/internal/wit/imports/torana_plugin_types"
	"go.bytecodealliance.org/pkg/wit/types"
)

// Level is one of the gateway's log levels.
type Level = uint8

const (
	Trace Level = torana_plugin_log.Level_Trace
	Debug Level = torana_plugin_log.Level_Debug
	Info  Level = torana_plugin_log.Level_Info
	Warn  Level = torana_plugin_log.Level_Warn
	Error Level = torana_plugin_log.Level_Error
)

// Log writes a line to the gateway's log. What is printed goes there, too.
func Log(level Level, line string) { torana_plugin_log.Write(level, line) }

// Logs says whether lines of that level are written at all.
func Logs(level Level) bool { return torana_plugin_log.Enabled(level) }

// Name gives the name under which the plugin is used, as in auth@file.
func Name() string { return strings.Clone(torana_plugin_config.Name()) }

// Secret gives a secret (permissions.secrets), and whether it is granted.
func Secret(name string) (string, bool) {
	found := torana_plugin_secrets.Get(name)
	return strings.Clone(found.Some()), found.IsSome()
}

// Add adds to a counter of the plugin's own, Gauge sets a gauge. They are shown with the gateway's figures.
func Add(name string, by uint64) { torana_plugin_metrics.Add(name, by) }

func Gauge(name string, value float64) { torana_plugin_metrics.Set(name, value) }

// What KV and Fetch return as errors. ErrFailed has more to tell: use errors.Is.
var (
	ErrDenied   = errors.New("not granted")
	ErrTooLarge = errors.New("too large")
	ErrTimeout  = errors.New("timeout")
	ErrFailed   = errors.New("failed")
)

// KV is a namespace of values outside the instance (permissions.kv).
type KV string

// Get gives the value of a key, and whether there is one.
func (ns KV) Get(key string) ([]byte, bool, error) {
	r := torana_plugin_kv.Get(string(ns), key)
	if r.IsErr() {
		return nil, false, kvError(r.Err())
	}
	return slices.Clone(r.Ok().Some()), r.Ok().IsSome(), nil
}

// Set sets a key; for that long, if ttl is not 0.
func (ns KV) Set(key string, value []byte, ttl time.Duration) error {
	if r := torana_plugin_kv.Set(string(ns), key, value, ms(ttl)); r.IsErr() {
		return kvError(r.Err())
	}
	return nil
}

func (ns KV) Delete(key string) error {
	if r := torana_plugin_kv.Delete(string(ns), key); r.IsErr() {
		return kvError(r.Err())
	}
	return nil
}

// Increment adds, and gives the sum: one step, also between workers.
func (ns KV) Increment(key string, by int64, ttl time.Duration) (int64, error) {
	r := torana_plugin_kv.Increment(string(ns), key, by, ms(ttl))
	if r.IsErr() {
		return 0, kvError(r.Err())
	}
	return r.Ok(), nil
}

func ms(ttl time.Duration) types.Option[uint64] {
	if ttl <= 0 {
		return types.None[uint64]()
	}
	return types.Some(uint64(ttl.Milliseconds()))
}

func kvError(e torana_plugin_kv.KvError) error {
	switch e.Tag() {
	case torana_plugin_kv.KvError_Denied:
		return ErrDenied
	case torana_plugin_kv.KvError_TooLarge:
		return ErrTooLarge
	default:
		return errors.Join(ErrFailed, errors.New(strings.Clone(e.Unavailable())))
	}
}

// Fetch sends a request (permissions.http) and waits for the whole answer; for that long, if timeout is not 0.
func Fetch(method, url string, headers []Header, body []byte, timeout time.Duration) (*Answer, error) {
	wait := types.None[uint32]()
	if timeout > 0 {
		wait = types.Some(uint32(timeout.Milliseconds()))
	}
	r := torana_plugin_outgoing_http.Send(torana_plugin_outgoing_http.Request{
		Method: method, Url: url, Headers: lines(headers), Body: body, TimeoutMs: wait,
	})
	if !r.IsErr() {
		a := r.Ok()
		return &Answer{int(a.Status), fromWit(a.Headers), slices.Clone(a.Body)}, nil
	}
	switch e := r.Err(); e.Tag() {
	case torana_plugin_outgoing_http.HttpError_Denied:
		return nil, errors.Join(ErrDenied, errors.New(strings.Clone(e.Denied())))
	case torana_plugin_outgoing_http.HttpError_Timeout:
		return nil, ErrTimeout
	case torana_plugin_outgoing_http.HttpError_TooLarge:
		return nil, ErrTooLarge
	default:
		return nil, errors.Join(ErrFailed, errors.New(strings.Clone(e.Failed())))
	}
}

func fromWit(all []wit.Header) []Header {
	out := make([]Header, len(all))
	for i, h := range all {
		out[i] = Header{strings.Clone(h.Name), strings.Clone(h.Value)}
	}
	return out
}
