// dot-guard: a middleware. Nobody gets files and folders whose names begin with a dot, such as /.git/config and /.env, except below
// /.well-known/. What passes is marked with a header.
#include "torana.h"
#include <stdlib.h>

// What the hooks below are told, by place.
enum { PATH };
static const char *const REQUEST[] = {":path", NULL};

static text allowed, header, header_value;
static uint16_t status = 404;

static text or_else(text t, const char *otherwise) {
    return t.ptr != NULL ? t : text_of(otherwise);
}

// Once for each instance. `config` was found to fit schema.json.
bool plugin_configure(text config, interest *wants, config_error *error) {
    allowed = or_else(json_get(config, "allow"), "/.well-known/");
    header = or_else(json_get(config, "header.name"), "x-guarded-by");
    header_value = or_else(json_get(config, "header.value"), "dot-guard");
    text number = json_get(config, "status");
    if (number.ptr != NULL) {
        if (!text_is(number, text_of("403")) && !text_is(number, text_of("404"))) {
            *error = (config_error){text_of("status"), text_of("403 or 404"), text_of("404, which does not tell that the file is there")};
            return false;
        }
        status = text_is(number, text_of("403")) ? 403 : 404;
    }
    wants->request = REQUEST;
    return true;
}

// The character at `*at`, and `*at` behind it: `%2e` is a dot, too.
static char next(text path, size_t *at) {
    if (path.ptr[*at] == '%' && *at + 2 < path.len) {
        char digits[] = {path.ptr[*at + 1], path.ptr[*at + 2], 0}, *end;
        long code = strtol(digits, &end, 16);
        if (*end == 0) {
            *at += 3;
            return (char)code;
        }
    }
    return path.ptr[(*at)++];
}

static bool hidden(text path) {
    bool begins = false;
    for (size_t at = 0; at < path.len && path.ptr[at] != '?';) {
        char c = next(path, &at);
        if (begins && c == '.') return true;
        begins = c == '/';
    }
    return false;
}

void plugin_request(message *m) {
    text path = value(m, PATH);
    if (!hidden(path)) return;
    if (text_starts(path, allowed)) {
        // Only this dot is allowed: not the second one of /.well-known/.git.
        text rest = {path.ptr + allowed.len - 1, path.len - allowed.len + 1};
        if (!hidden(rest)) return;
    }
    log_line(LOG_INFO, path);
    respond(m, status, status == 403 ? text_of("forbidden\n") : text_of("not found\n"));
    answer_header(m, text_of("content-type"), text_of("text/plain; charset=utf-8"));
}

void plugin_response(message *m, text state) {
    set_header(m, header, header_value);
}
