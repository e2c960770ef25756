// {{name}}: a middleware. Answers 403 to a path, and stamps what passes.
#include "torana.h"
#include <stdlib.h>

// What the hooks below are told, by place.
enum { PATH };
static const char *const REQUEST[] = {":path", NULL};
enum { STATUS };
static const char *const RESPONSE[] = {":status", NULL};

static text blocked, header;

// Once for each instance. `config` was found to fit schema.json.
bool plugin_configure(text config, interest *wants, config_error *error) {
    blocked = json_get(config, "blocked");
    header = json_get(config, "header");
    if (header.ptr == NULL) header = text_of("x-{{name}}");
    if (blocked.ptr != NULL && !text_starts(blocked, text_of("/"))) {
        *error = (config_error){text_of("blocked"), text_of("a path begins with a slash"), text_of("/admin")};
        return false;
    }
    wants->request = REQUEST;
    wants->response = RESPONSE;
    return true;
}

// `respond` answers here; without it, the request goes on.
void plugin_request(message *m) {
    if (blocked.ptr != NULL && text_starts(value(m, PATH), blocked)) {
        log_line(LOG_INFO, text_of("blocked"));
        respond(m, 403, text_of("blocked\n"));
        answer_header(m, text_of("content-type"), text_of("text/plain; charset=utf-8"));
        return;
    }
    set_header(m, header, text_of("request"));
}

void plugin_response(message *m, text state) {
    (void)state;
    set_header(m, header, value(m, STATUS));
}
