// Package torana is what a plugin is written with: a thin layer over internal/wit, which is generated from wit/. Change it as you like.
package torana

import (
	"errors"
	"slices"
	"strconv"
	"strings"

	export "example.com/plugin/internal/wit/exports/export_torana_plugin_middleware_hooks"
	_ "example.com/plugin/internal/wit/exports/wit_exports"
	"example.com/plugin/internal/wit/imports/torana_plugin_exchange"
	hooks "example.com/plugin/internal/wit/imports/torana_plugin_middleware_hooks"
	wit "example.com/plugin/internal/wit/imports/torana_plugin_types"
	"go.bytecodealliance.org/pkg/wit/runtime"
	"go.bytecodealliance.org/pkg/wit/types"
)

// Plugin is a middleware. It also has one or more of the hooks below; only those it has are called.
type Plugin interface {
	// Configure is called once for each instance. config is JSON, and was found to fit schema.json.
	// An error, best a *ConfigError, refuses the configuration.
	Configure(config []byte) (Interest, error)
}

// RequestHook answers here by returning an Answer; by returning nil, it lets the request go on.
type RequestHook interface {
	OnRequest(*Request) *Answer
}

// ResponseHook puts the Answer in place of the response, if it is not nil.
type ResponseHook interface {
	OnResponse(*Response) *Answer
}

// RequestBodyHook sees each piece of a Streamed body. It returns what takes its place; an error breaks the message off.
type RequestBodyHook interface {
	OnRequestBody(chunk []byte, last bool) ([]byte, error)
}

// ResponseBodyHook is like RequestBodyHook.
type ResponseBodyHook interface {
	OnResponseBody(chunk []byte, last bool) ([]byte, error)
}

// Body is how a plugin wants to see a body.
type Body = uint8

const (
	None     Body = wit.BodyAccess_None
	Buffered Body = wit.BodyAccess_Buffered
	Streamed Body = wit.BodyAccess_Streamed
)

// Interest is what the hooks read of every exchange; see `values` in wit/types.wit. Other values can be read as well, but cost more.
type Interest struct {
	Request, Response         []string
	RequestBody, ResponseBody Body
}

// ConfigError says where the configuration is wrong, as in users[1].name, what is wrong, and what to write instead.
type ConfigError struct{ Key, Message, Hint string }

func (e *ConfigError) Error() string { return e.Key + ": " + e.Message }

// Header is one header line.
type Header struct{ Name, Value string }

// Answer is a whole response that the plugin makes.
type Answer struct {
	Status  int
	Headers []Header
	Body    []byte
}

// Respond makes an answer of plain text.
func Respond(status int, body string) *Answer {
	return &Answer{status, []Header{{"content-type", "text/plain; charset=utf-8"}}, []byte(body)}
}

type asking func(name string) types.Option[string]

// message is what a request and a response have in common. Changes go out when the hook returns; reading gives what came in.
type message struct {
	listed []string
	values []types.Option[string]
	ask    asking
	edits  []wit.Edit
}

// Lookup gives a header, its lines joined by ", ", and whether there is one. A name with a colon is a fact, as in ":path".
func (m *message) Lookup(name string) (string, bool) { return m.lookup(name, m.ask) }

func (m *message) lookup(name string, ask asking) (string, bool) {
	name = strings.ToLower(name)
	at := slices.Index(m.listed, name)
	if at < 0 {
		found := ask(name)
		return strings.Clone(found.Some()), found.IsSome()
	}
	return strings.Clone(m.values[at].Some()), m.values[at].IsSome()
}

// Header gives a header, or "".
func (m *message) Header(name string) string {
	value, _ := m.Lookup(name)
	return value
}

func (m *message) SetHeader(name, value string) {
	m.edits = append(m.edits, wit.MakeEditSetHeader(wit.Header{Name: name, Value: value}))
}

func (m *message) AddHeader(name, value string) {
	m.edits = append(m.edits, wit.MakeEditAddHeader(wit.Header{Name: name, Value: value}))
}

func (m *message) RemoveHeader(name string) {
	m.edits = append(m.edits, wit.MakeEditRemoveHeader(name))
}

func (m *message) SetBody(body []byte) { m.edits = append(m.edits, wit.MakeEditBody(body)) }

// Request is a request on its way to the service.
type Request struct {
	message
	// State is handed to OnResponse of the same exchange, if it is not "".
	State string
}

func (r *Request) Method() string { return r.Header(":method") }

func (r *Request) Scheme() string { return r.Header(":scheme") }

func (r *Request) Host() string { return r.Header(":host") }

// Path comes with the query.
func (r *Request) Path() string { return r.Header(":path") }

func (r *Request) ClientIP() string { return r.Header(":client-ip") }

// Headers gives all header lines.
func (r *Request) Headers() []Header { return fromWit(torana_plugin_exchange.RequestHeaders()) }

// Body gives a Buffered body.
func (r *Request) Body() []byte { return slices.Clone(torana_plugin_exchange.RequestBody().Some()) }

func (r *Request) SetPath(path string) { r.edits = append(r.edits, wit.MakeEditPath(path)) }

func (r *Request) SetMethod(method string) { r.edits = append(r.edits, wit.MakeEditMethod(method)) }

func (r *Request) SetHost(host string) { r.edits = append(r.edits, wit.MakeEditHost(host)) }

// SetUser says who the client is, for the access log.
func (r *Request) SetUser(name string) { torana_plugin_exchange.SetUser(name) }

// Response is a response on its way to the client.
type Response struct {
	message
	// State is what OnRequest left.
	State string
}

func (r *Response) Status() int {
	status, _ := strconv.Atoi(r.Header(":status"))
	return status
}

// Request gives a fact of the request, as in ":path".
func (r *Response) Request(fact string) string {
	value, _ := r.lookup(fact, torana_plugin_exchange.RequestValue)
	return value
}

// Headers gives all header lines.
func (r *Response) Headers() []Header { return fromWit(torana_plugin_exchange.ResponseHeaders()) }

// Body gives a Buffered body.
func (r *Response) Body() []byte { return slices.Clone(torana_plugin_exchange.ResponseBody().Some()) }

func (r *Response) SetStatus(status int) {
	r.edits = append(r.edits, wit.MakeEditStatus(uint16(status)))
}

// Use makes a plugin of p. Call it from init.
func Use(p Plugin) {
	var requestListed, responseListed []string
	onRequest, hasRequest := p.(RequestHook)
	onResponse, hasResponse := p.(ResponseHook)
	export.Configure = func(config string) types.Result[hooks.Interest, wit.ConfigError] {
		runtime.Keep() // What came in before is WASI's, and this configuration.
		interest, err := p.Configure([]byte(config))
		if err != nil {
			var told *ConfigError
			if !errors.As(err, &told) {
				told = &ConfigError{Message: err.Error()}
			}
			return types.Err[hooks.Interest](wit.ConfigError{Key: told.Key, Message: told.Message, Hint: told.Hint})
		}
		requestListed, responseListed = lower(interest.Request), lower(interest.Response)
		return types.Ok[hooks.Interest, wit.ConfigError](hooks.Interest{
			Request: hasRequest, RequestValues: requestListed, RequestBody: interest.RequestBody,
			Response: hasResponse, ResponseValues: responseListed, ResponseBody: interest.ResponseBody,
		})
	}
	export.OnRequest = func(values []types.Option[string]) hooks.RequestAction {
		defer runtime.Reset()
		r := Request{message: message{requestListed, values, torana_plugin_exchange.RequestValue, nil}}
		if answer := onRequest.OnRequest(&r); answer != nil {
			return hooks.MakeRequestActionRespond(answer.wit())
		}
		state := types.None[string]()
		if r.State != "" {
			state = types.Some(r.State)
		}
		return hooks.MakeRequestActionNext(hooks.Passed{Edits: r.edits, State: state})
	}
	export.OnResponse = func(values []types.Option[string], state types.Option[string]) hooks.ResponseAction {
		defer runtime.Reset()
		r := Response{message{responseListed, values, torana_plugin_exchange.ResponseValue, nil}, strings.Clone(state.Some())}
		if answer := onResponse.OnResponse(&r); answer != nil {
			return hooks.MakeResponseActionReplace(answer.wit())
		}
		return hooks.MakeResponseActionNext(r.edits)
	}
	if b, ok := p.(RequestBodyHook); ok {
		export.OnRequestBody = pieces(b.OnRequestBody)
	}
	if b, ok := p.(ResponseBodyHook); ok {
		export.OnResponseBody = pieces(b.OnResponseBody)
	}
}

func pieces(hook func([]byte, bool) ([]byte, error)) func([]uint8, bool) hooks.ChunkAction {
	return func(chunk []uint8, last bool) hooks.ChunkAction {
		defer runtime.Reset()
		changed, err := hook(slices.Clone(chunk), last)
		if err != nil {
			return hooks.MakeChunkActionFail(err.Error())
		}
		return hooks.MakeChunkActionReplace(changed)
	}
}

func (a *Answer) wit() wit.Answer {
	return wit.Answer{Status: uint16(a.Status), Headers: lines(a.Headers), Body: a.Body}
}

func lines(all []Header) []wit.Header {
	out := make([]wit.Header, len(all))
	for i, h := range all {
		out[i] = wit.Header{Name: h.Name, Value: h.Value}
	}
	return out
}

// lower gives each name once, as the places of values count from there.
func lower(names []string) []string {
	var out []string
	for _, name := range names {
		if name = strings.ToLower(name); !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return out
}
