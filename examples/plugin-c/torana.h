// What a plugin in C is written with: a thin layer over bindings/, which are generated from wit/. Change it as you like.
#ifndef TORANA_H
#define TORANA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Text of a given length, UTF-8, without a NUL at its end. `ptr` is NULL where there is none.
typedef struct {
    const char *ptr;
    size_t len;
} text;

// Text of a literal or another string with a NUL.
text text_of(const char *s);
bool text_is(text a, text b);
bool text_starts(text a, text prefix);
// A copy that stays until it is given to `free`.
text text_copy(text a);

// What `plugin_configure` fills in. `request` and `response` name what the hooks are told, by place, with NULL at the end; see
// `values` in wit/types.wit. They have to stay, as literals do.
typedef enum { BODY_NONE, BODY_BUFFERED, BODY_STREAMED } body_access;
typedef struct {
    const char *const *request;
    const char *const *response;
    body_access request_body;
    body_access response_body;
} interest;

// Why a configuration is refused: where, what is wrong, what to write instead.
typedef struct {
    text key, message, hint;
} config_error;

// A request or response on its way.
typedef struct message message;

// The listed value at that place, in the order of `interest`.
text value(const message *m, size_t at);
// Any other value by its name, asked of the gateway: half a microsecond. Valid until the hook returns.
text request_value(message *m, const char *name);
text response_value(message *m, const char *name);
// The body, where it is buffered. Valid until the hook returns.
text request_body(message *m);
text response_body(message *m);

// Changes, in order. Texts are copied.
void set_header(message *m, text name, text value);
void add_header(message *m, text name, text value);
void remove_header(message *m, text name);
void set_body(message *m, text body);
// Of requests.
void set_path(message *m, text path);
void set_method(message *m, text method);
void set_host(message *m, text host);
// Of responses.
void set_status(message *m, uint16_t status);

// Answers in place of the service, or of the response. Headers of the answer follow with `answer_header`.
void respond(message *m, uint16_t status, text body);
void answer_header(message *m, text name, text value);

// Text that `plugin_response` of the same exchange gets as its `state`.
void keep(message *m, text state);

typedef enum { LOG_TRACE, LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR } log_level;
void log_line(log_level level, text line);

// A piece of a streamed body.
typedef struct piece piece;
void replace_piece(piece *p, text bytes);
void fail_piece(piece *p, text why);

// The value of a key of a JSON object; the key of an object within it is `outer.inner`. Text comes without quotes, its
// escapes undone, and is the caller's to free; anything else as it is written, as in `true` or `[1, 2]`.
// `ptr` is NULL when there is no such key.
text json_get(text object, const char *key);

// The plugin. Only what it has is called.

// Once for each instance. `config` is JSON, and was found to fit schema.json. Returns false to refuse it.
bool plugin_configure(text config, interest *wants, config_error *error);
__attribute__((weak)) void plugin_request(message *m);
__attribute__((weak)) void plugin_response(message *m, text state);
// With BODY_STREAMED. A piece that is not replaced passes as it is.
__attribute__((weak)) void plugin_request_body(piece *p, text chunk, bool last);
__attribute__((weak)) void plugin_response_body(piece *p, text chunk, bool last);

#endif
