#include "torana.h"
#include "bindings/middleware.h"
#include <stdlib.h>
#include <string.h>

typedef torana_plugin_types_edit_t edit_t;

// What a hook borrowed and gives back when it returns.
typedef struct borrowed {
    struct borrowed *next;
    void *ptr;
} borrowed;

struct message {
    torana_plugin_types_values_t *values;
    edit_t *edits;
    size_t edits_len, edits_room;
    bool answered;
    torana_plugin_types_answer_t answer;
    size_t headers_room;
    middleware_option_string_t state;
    borrowed *borrowed;
};

struct piece {
    exports_torana_plugin_middleware_hooks_chunk_action_t *out;
};

// Without memory there is nothing to do but to give up: the gateway then makes a new instance.
static void *checked(void *ptr) {
    if (ptr == NULL) __builtin_trap();
    return ptr;
}

static void *more(void *list, size_t len, size_t *room, size_t size) {
    if (len < *room) return list;
    *room = *room ? *room * 2 : 8;
    return checked(realloc(list, *room * size));
}

text text_of(const char *s) {
    return (text){s, strlen(s)};
}

bool text_is(text a, text b) {
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

bool text_starts(text a, text prefix) {
    return a.len >= prefix.len && (prefix.len == 0 || memcmp(a.ptr, prefix.ptr, prefix.len) == 0);
}

text text_copy(text a) {
    char *copy = checked(malloc(a.len ? a.len : 1));
    if (a.len) memcpy(copy, a.ptr, a.len);
    return (text){copy, a.len};
}

static middleware_string_t owned(text a) {
    text copy = text_copy(a);
    return (middleware_string_t){(uint8_t *)copy.ptr, copy.len};
}

static middleware_list_u8_t owned_bytes(text a) {
    text copy = text_copy(a);
    return (middleware_list_u8_t){(uint8_t *)copy.ptr, copy.len};
}

static text borrow(message *m, void *ptr, size_t len) {
    borrowed *b = checked(malloc(sizeof *b));
    *b = (borrowed){m->borrowed, ptr};
    m->borrowed = b;
    return (text){ptr ? ptr : "", len};
}

text value(const message *m, size_t at) {
    if (at >= m->values->len || !m->values->ptr[at].is_some) return (text){NULL, 0};
    middleware_string_t *v = &m->values->ptr[at].val;
    return (text){v->len ? (const char *)v->ptr : "", v->len};
}

static text asked(message *m, const char *name, bool (*ask)(middleware_string_t *, middleware_string_t *)) {
    middleware_string_t n = {(uint8_t *)name, strlen(name)}, found;
    return ask(&n, &found) ? borrow(m, found.ptr, found.len) : (text){NULL, 0};
}

text request_value(message *m, const char *name) {
    return asked(m, name, torana_plugin_exchange_request_value);
}

text response_value(message *m, const char *name) {
    return asked(m, name, torana_plugin_exchange_response_value);
}

static text body(message *m, bool (*ask)(middleware_list_u8_t *)) {
    middleware_list_u8_t found;
    return ask(&found) ? borrow(m, found.ptr, found.len) : (text){NULL, 0};
}

text request_body(message *m) {
    return body(m, torana_plugin_exchange_request_body);
}

text response_body(message *m) {
    return body(m, torana_plugin_exchange_response_body);
}

static edit_t *edit(message *m, uint8_t tag) {
    m->edits = more(m->edits, m->edits_len, &m->edits_room, sizeof *m->edits);
    edit_t *e = &m->edits[m->edits_len++];
    e->tag = tag;
    return e;
}

void set_header(message *m, text name, text value) {
    edit(m, TORANA_PLUGIN_TYPES_EDIT_SET_HEADER)->val.set_header = (torana_plugin_types_header_t){owned(name), owned(value)};
}

void add_header(message *m, text name, text value) {
    edit(m, TORANA_PLUGIN_TYPES_EDIT_ADD_HEADER)->val.add_header = (torana_plugin_types_header_t){owned(name), owned(value)};
}

void remove_header(message *m, text name) {
    edit(m, TORANA_PLUGIN_TYPES_EDIT_REMOVE_HEADER)->val.remove_header = owned(name);
}

void set_body(message *m, text body) {
    edit(m, TORANA_PLUGIN_TYPES_EDIT_BODY)->val.body = owned_bytes(body);
}

void set_path(message *m, text path) {
    edit(m, TORANA_PLUGIN_TYPES_EDIT_PATH)->val.path = owned(path);
}

void set_method(message *m, text method) {
    edit(m, TORANA_PLUGIN_TYPES_EDIT_METHOD)->val.method = owned(method);
}

void set_host(message *m, text host) {
    edit(m, TORANA_PLUGIN_TYPES_EDIT_HOST)->val.host = owned(host);
}

void set_status(message *m, uint16_t status) {
    edit(m, TORANA_PLUGIN_TYPES_EDIT_STATUS)->val.status = status;
}

void respond(message *m, uint16_t status, text body) {
    if (m->answered) torana_plugin_types_answer_free(&m->answer);
    m->answered = true;
    m->headers_room = 0;
    m->answer = (torana_plugin_types_answer_t){status, {NULL, 0}, owned_bytes(body)};
}

void answer_header(message *m, text name, text value) {
    torana_plugin_types_list_header_t *h = &m->answer.headers;
    h->ptr = more(h->ptr, h->len, &m->headers_room, sizeof *h->ptr);
    h->ptr[h->len++] = (torana_plugin_types_header_t){owned(name), owned(value)};
}

void keep(message *m, text state) {
    middleware_option_string_free(&m->state);
    m->state = (middleware_option_string_t){true, owned(state)};
}

void log_line(log_level level, text line) {
    middleware_string_t l = {(uint8_t *)line.ptr, line.len};
    torana_plugin_log_write((torana_plugin_log_level_t)level, &l);
}

void replace_piece(piece *p, text bytes) {
    exports_torana_plugin_middleware_hooks_chunk_action_free(p->out);
    p->out->tag = EXPORTS_TORANA_PLUGIN_MIDDLEWARE_HOOKS_CHUNK_ACTION_REPLACE;
    p->out->val.replace = owned_bytes(bytes);
}

void fail_piece(piece *p, text why) {
    exports_torana_plugin_middleware_hooks_chunk_action_free(p->out);
    p->out->tag = EXPORTS_TORANA_PLUGIN_MIDDLEWARE_HOOKS_CHUNK_ACTION_FAIL;
    p->out->val.fail = owned(why);
}

// The bindings ask for an object file with the types of the component; `torana plugin build` adds the types itself.
void __component_type_object_force_link_middleware(void) {}

// The exports. What comes in is the plugin's to free, what goes out is freed by the bindings.

static middleware_list_string_t names(const char *const *list) {
    size_t n = 0;
    while (list && list[n]) n++;
    middleware_list_string_t out = {n ? checked(malloc(n * sizeof *out.ptr)) : NULL, n};
    for (size_t i = 0; i < n; i++) out.ptr[i] = owned(text_of(list[i]));
    return out;
}

bool exports_torana_plugin_middleware_hooks_configure(middleware_string_t *config,
                                                      exports_torana_plugin_middleware_hooks_interest_t *ret,
                                                      exports_torana_plugin_middleware_hooks_config_error_t *err) {
    interest wants = {0};
    config_error wrong = {0};
    bool good = plugin_configure((text){(char *)config->ptr, config->len}, &wants, &wrong);
    if (good) {
        ret->request = plugin_request != NULL;
        ret->response = plugin_response != NULL;
        ret->request_values = names(wants.request);
        ret->response_values = names(wants.response);
        ret->request_body = wants.request_body;
        ret->response_body = wants.response_body;
    } else {
        *err = (torana_plugin_types_config_error_t){owned(wrong.key), owned(wrong.message), owned(wrong.hint)};
    }
    middleware_string_free(config);
    return good;
}

static void done(message *m) {
    torana_plugin_types_values_free(m->values);
    for (borrowed *b = m->borrowed; b != NULL;) {
        borrowed *next = b->next;
        free(b->ptr);
        free(b);
        b = next;
    }
}

static void drop_edits(message *m) {
    for (size_t i = 0; i < m->edits_len; i++) torana_plugin_types_edit_free(&m->edits[i]);
    free(m->edits);
}

void exports_torana_plugin_middleware_hooks_on_request(exports_torana_plugin_middleware_hooks_values_t *values,
                                                       exports_torana_plugin_middleware_hooks_request_action_t *ret) {
    message m = {.values = values};
    if (plugin_request) plugin_request(&m);
    if (m.answered) {
        drop_edits(&m);
        middleware_option_string_free(&m.state);
        ret->tag = EXPORTS_TORANA_PLUGIN_MIDDLEWARE_HOOKS_REQUEST_ACTION_RESPOND;
        ret->val.respond = m.answer;
    } else {
        ret->tag = EXPORTS_TORANA_PLUGIN_MIDDLEWARE_HOOKS_REQUEST_ACTION_NEXT;
        ret->val.next = (exports_torana_plugin_middleware_hooks_passed_t){{m.edits, m.edits_len}, m.state};
    }
    done(&m);
}

void exports_torana_plugin_middleware_hooks_on_response(exports_torana_plugin_middleware_hooks_values_t *values,
                                                        middleware_string_t *maybe_state,
                                                        exports_torana_plugin_middleware_hooks_response_action_t *ret) {
    message m = {.values = values};
    text state = maybe_state ? (text){maybe_state->len ? (char *)maybe_state->ptr : "", maybe_state->len} : (text){NULL, 0};
    if (plugin_response) plugin_response(&m, state);
    if (m.answered) {
        drop_edits(&m);
        ret->tag = EXPORTS_TORANA_PLUGIN_MIDDLEWARE_HOOKS_RESPONSE_ACTION_REPLACE;
        ret->val.replace = m.answer;
    } else {
        ret->tag = EXPORTS_TORANA_PLUGIN_MIDDLEWARE_HOOKS_RESPONSE_ACTION_NEXT;
        ret->val.next = (exports_torana_plugin_middleware_hooks_list_edit_t){m.edits, m.edits_len};
    }
    middleware_option_string_free(&m.state);
    if (maybe_state) middleware_string_free(maybe_state);
    done(&m);
}

static void streamed(void (*plugin)(piece *, text, bool), middleware_list_u8_t *chunk, bool last,
                     exports_torana_plugin_middleware_hooks_chunk_action_t *ret) {
    ret->tag = EXPORTS_TORANA_PLUGIN_MIDDLEWARE_HOOKS_CHUNK_ACTION_PASS;
    piece p = {ret};
    if (plugin) plugin(&p, (text){chunk->len ? (char *)chunk->ptr : "", chunk->len}, last);
    middleware_list_u8_free(chunk);
}

void exports_torana_plugin_middleware_hooks_on_request_body(middleware_list_u8_t *chunk, bool last,
                                                            exports_torana_plugin_middleware_hooks_chunk_action_t *ret) {
    streamed(plugin_request_body, chunk, last, ret);
}

void exports_torana_plugin_middleware_hooks_on_response_body(middleware_list_u8_t *chunk, bool last,
                                                             exports_torana_plugin_middleware_hooks_chunk_action_t *ret) {
    streamed(plugin_response_body, chunk, last, ret);
}

// JSON, only as far as a configuration needs it. The gateway has checked that it is JSON.

static size_t space(text t, size_t i) {
    while (i < t.len && strchr(" \t\r\n", t.ptr[i])) i++;
    return i;
}

// The end of the value that begins at `i`.
static size_t value_end(text t, size_t i) {
    size_t depth = 0;
    for (; i < t.len; i++) {
        char c = t.ptr[i];
        if (c == '"') {
            for (i++; i < t.len && t.ptr[i] != '"'; i++) {
                if (t.ptr[i] == '\\') i++;
            }
            if (depth == 0) return i < t.len ? i + 1 : t.len;
        } else if (c == '{' || c == '[') {
            depth++;
        } else if (c == '}' || c == ']') {
            if (depth == 0) return i;
            if (--depth == 0) return i + 1;
        } else if (depth == 0 && (c == ',' || c == ':' || strchr(" \t\r\n", c))) {
            return i;
        }
    }
    return t.len;
}

static unsigned hex4(text t, size_t i) {
    unsigned n = 0;
    for (size_t end = i + 4; i < end && i < t.len; i++) {
        char c = t.ptr[i];
        n = n * 16 + (unsigned)(c <= '9' ? c - '0' : (c | 32) - 'a' + 10);
    }
    return n;
}

static size_t utf8(unsigned c, char *out) {
    if (c < 0x80) return out[0] = (char)c, 1;
    if (c < 0x800) return out[0] = (char)(0xc0 | c >> 6), out[1] = (char)(0x80 | (c & 63)), 2;
    if (c < 0x10000) {
        return out[0] = (char)(0xe0 | c >> 12), out[1] = (char)(0x80 | (c >> 6 & 63)), out[2] = (char)(0x80 | (c & 63)), 3;
    }
    out[0] = (char)(0xf0 | c >> 18), out[1] = (char)(0x80 | (c >> 12 & 63));
    return out[2] = (char)(0x80 | (c >> 6 & 63)), out[3] = (char)(0x80 | (c & 63)), 4;
}

// What stands between the quotes of `t`. It never becomes longer.
static text unquoted(text t) {
    char *out = checked(malloc(t.len));
    size_t n = 0;
    for (size_t i = 1; i + 1 < t.len; i++) {
        if (t.ptr[i] != '\\' || i + 2 >= t.len) {
            out[n++] = t.ptr[i];
            continue;
        }
        static const char from[] = "bfnrt", to[] = "\b\f\n\r\t";
        char c = t.ptr[++i];
        const char *known = strchr(from, c);
        if (c != 'u') {
            out[n++] = known ? to[known - from] : c;
            continue;
        }
        unsigned code = hex4(t, i + 1);
        i += 4;
        bool high = code >= 0xd800 && code < 0xdc00 && i + 6 < t.len && t.ptr[i + 1] == '\\' && t.ptr[i + 2] == 'u';
        if (high) {
            code = 0x10000 + ((code - 0xd800) << 10) + (hex4(t, i + 3) - 0xdc00);
            i += 6;
        }
        n += utf8(code, out + n);
    }
    return (text){out, n};
}

text json_get(text object, const char *key) {
    const char *dot = strchr(key, '.');
    text wanted = {key, dot ? (size_t)(dot - key) : strlen(key)};
    size_t i = space(object, 0);
    if (i >= object.len || object.ptr[i] != '{') return (text){NULL, 0};
    for (i = space(object, i + 1); i < object.len && object.ptr[i] == '"'; i = space(object, i + 1)) {
        size_t end = value_end(object, i);
        if (end < i + 2) break;
        text name = {object.ptr + i + 1, end - i - 2};
        i = space(object, space(object, end) + 1);
        if (i >= object.len) break;
        end = value_end(object, i);
        text found = {object.ptr + i, end - i};
        if (text_is(name, wanted)) {
            if (dot) return json_get(found, dot + 1);
            return found.len >= 2 && found.ptr[0] == '"' ? unquoted(found) : found;
        }
        i = space(object, end);
    }
    return (text){NULL, 0};
}
