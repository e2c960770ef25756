use torana_plugin_sdk::serde_json::{Value, json};
use torana_plugin_sdk::testing::{self, Gateway, Message};

use super::*;

fn document() -> Value {
    json!({
        "openapi": "3.0.3",
        "info": {"title": "Pets", "version": "1"},
        "paths": {
            "/pets/{id}": {
                "parameters": [{"$ref": "#/components/parameters/Id"}],
                "get": {"parameters": [
                    {"name": "X-Trace", "in": "header", "required": true, "schema": {"type": "string", "format": "uuid"}},
                    {"name": "session", "in": "cookie", "required": true, "schema": {"type": "string"}}
                ]},
                "put": {"requestBody": {"content": {"application/json": {"schema": {"type": "object"}}, "image/*": {}}}}
            },
            "/pets/mine": {"get": {}},
            "/pets": {
                "get": {"parameters": [
                    {"name": "limit", "in": "query", "schema": {"type": "integer", "minimum": 1, "maximum": 100}},
                    {"name": "tag", "in": "query", "schema": {"type": "array", "maxItems": 2, "items": {"type": "string", "maxLength": 3}}},
                    {"name": "ids", "in": "query", "explode": false, "schema": {"type": "array", "items": {"type": "integer"}}},
                    {"name": "all", "in": "query", "schema": {"type": "boolean"}}
                ]},
                "post": {"requestBody": {"required": true, "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Pet"}}}}}
            }
        },
        "components": {
            "parameters": {"Id": {"name": "id", "in": "path", "required": true, "schema": {"type": "integer"}}},
            "schemas": {"Pet": {
                "type": "object",
                "required": ["name"],
                "additionalProperties": false,
                "properties": {
                    "name": {"type": "string", "minLength": 1, "example": "Rex"},
                    "owner": {"type": "string", "nullable": true},
                    "young": {"type": "array", "items": {"$ref": "#/components/schemas/Pet"}}
                }
            }}
        }
    })
}

fn plugin(extra: Value) -> testing::Middleware<RequestValidator> {
    let mut config = json!({"openapi": document()});
    config.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    Gateway::new().middleware(config).unwrap()
}

fn refused(config: Value) -> String {
    Gateway::new().middleware::<RequestValidator>(config).err().unwrap().key
}

fn post(body: &str) -> Message {
    testing::request("POST", "/pets").with_header("content-type", "application/json; charset=utf-8").with_body(body)
}

/// Status and errors of the answer.
fn outcome(plugin: &testing::Middleware<RequestValidator>, request: Message) -> (u16, Value) {
    let answer = plugin.call(request).answer;
    let body: Value = answer.json().unwrap_or_default();
    if answer.status != 200 {
        assert_eq!(answer.header("content-type"), Some("application/problem+json"));
        assert_eq!(body["status"], answer.status);
    }
    (answer.status, body["errors"].clone())
}

#[test]
fn checks_parameters() {
    let plugin = plugin(json!({}));
    let uuid = "123e4567-e89b-12d3-a456-426614174000";
    let traced = |path: &str| testing::get(path).with_header("x-trace", uuid);
    for request in [
        traced("/pets/7"),
        testing::get("/pets/mine"),
        testing::get("/pets?limit=5&tag=abc&tag=d&ids=1,2&all=true&other=x"),
        testing::get("/pets"),
    ] {
        let path = request.path.clone();
        assert_eq!(outcome(&plugin, request), (200, Value::Null), "{path}");
    }
    for (request, errors) in [
        (traced("/pets/rex"), json!([{"in": "path", "parameter": "id", "detail": "must be integer"}])),
        (testing::get("/pets/7"), json!([{"in": "header", "parameter": "X-Trace", "detail": "is required"}])),
        (
            testing::get("/pets/x").with_header("x-trace", "1"),
            json!([
                {"in": "header", "parameter": "X-Trace", "detail": "must be a uuid"},
                {"in": "path", "parameter": "id", "detail": "must be integer"}
            ]),
        ),
        (testing::get("/pets?limit=0"), json!([{"in": "query", "parameter": "limit", "detail": "must be at least 1"}])),
        (testing::get("/pets?limit=%205"), json!([{"in": "query", "parameter": "limit", "detail": "must be integer"}])),
        (testing::get("/pets?limit=1&limit=2"), json!([{"in": "query", "parameter": "limit", "detail": "is there more than once"}])),
        (testing::get("/pets?tag=a&tag=b&tag=c"), json!([{"in": "query", "parameter": "tag", "detail": "must have at most 2 items"}])),
        (testing::get("/pets?tag=abcd"), json!([{"in": "query", "parameter": "tag", "detail": "/0 must have at most 3 characters"}])),
        (testing::get("/pets?ids=1,x"), json!([{"in": "query", "parameter": "ids", "detail": "/1 must be integer"}])),
        (testing::get("/pets?all=1"), json!([{"in": "query", "parameter": "all", "detail": "must be boolean"}])),
    ] {
        assert_eq!(outcome(&plugin, request), (400, errors));
    }
}

#[test]
fn checks_bodies() {
    let plugin = plugin(json!({}));
    assert_eq!(outcome(&plugin, post(r#"{"name": "Rex", "owner": null, "young": [{"name": "Max"}]}"#)), (200, Value::Null));
    let errors = json!([
        {"in": "body", "pointer": "/name", "detail": "is required"},
        {"in": "body", "pointer": "/a~1b", "detail": "is not allowed"},
        {"in": "body", "pointer": "/young/0/name", "detail": "must have at least 1 characters"}
    ]);
    assert_eq!(outcome(&plugin, post(r#"{"a/b": 1, "young": [{"name": ""}]}"#)), (400, errors));
    assert_eq!(outcome(&plugin, post("[]")).1, json!([{"in": "body", "pointer": "", "detail": "must be object"}]));
    assert_eq!(outcome(&plugin, post("")).1, json!([{"in": "body", "pointer": "", "detail": "is required"}]));
    assert_eq!(outcome(&plugin, post("{")).0, 400);
    assert_eq!(outcome(&plugin, post(&"[".repeat(100_000))).0, 400);
    let text = testing::request("POST", "/pets").with_header("content-type", "text/plain").with_body("{}");
    assert_eq!(outcome(&plugin, text).0, 415);
    let put = |kind| testing::request("PUT", "/pets/7").with_header("content-type", kind).with_body("1");
    assert_eq!(outcome(&plugin, put("image/png")).0, 200);
    assert_eq!(outcome(&plugin, put("application/json")).0, 400);
    assert_eq!(outcome(&plugin, put("application/xml")).0, 415);
}

#[test]
fn refuses_what_is_not_described() {
    let strict = plugin(json!({"basePath": "/api"}));
    assert_eq!(outcome(&strict, testing::get("/api/pets")).0, 200);
    for path in ["/pets", "/apipets", "/api", "/api/pets/", "/api/pets/1/2"] {
        assert_eq!(outcome(&strict, testing::get(path)).0, 404, "{path}");
    }
    let answer = strict.call(testing::request("DELETE", "/api/pets")).answer;
    assert_eq!((answer.status, answer.header("allow")), (405, Some("GET, POST")));
    let lax = plugin(json!({"unknown": "pass"}));
    assert_eq!(outcome(&lax, testing::get("/other")).0, 200);
    assert_eq!(outcome(&lax, testing::request("DELETE", "/pets")).0, 200);
    assert_eq!(outcome(&lax, testing::get("/pets?limit=0")).0, 400);
}

/// Whether a value fits a schema.
fn fits(schema: Value, value: Value) -> bool {
    let plugin = Gateway::new().middleware::<RequestValidator>(json!({"bodySchema": {"allOf": [schema]}})).unwrap();
    outcome(&plugin, post(&value.to_string())).0 == 200
}

#[test]
fn knows_the_keywords() {
    for (schema, good, bad) in [
        (json!({"type": ["string", "null"]}), json!(null), json!(1)),
        (json!({"type": "integer"}), json!(1.0), json!(1.5)),
        (json!({"enum": [1, {"a": 2}]}), json!({"a": 2.0}), json!("1")),
        (json!({"const": "a"}), json!("a"), json!("b")),
        (json!({"exclusiveMinimum": 1}), json!(1.1), json!(1)),
        (json!({"minimum": 1, "exclusiveMinimum": true}), json!(2), json!(1)),
        (json!({"maximum": 1, "exclusiveMaximum": true}), json!(0), json!(1)),
        (json!({"maximum": 1, "exclusiveMaximum": false}), json!(1), json!(2)),
        (json!({"multipleOf": 0.1}), json!(0.3), json!(0.35)),
        (json!({"maxLength": 2}), json!("äö"), json!("abc")),
        (json!({"pattern": "^[a-z]+$"}), json!("a"), json!("A")),
        (json!({"minItems": 1}), json!([1]), json!([])),
        (json!({"uniqueItems": true}), json!([1, 2]), json!([{"a": 1}, {"a": 1}])),
        (json!({"items": {"type": "string"}}), json!(["a"]), json!([1])),
        (json!({"minProperties": 1}), json!({"a": 1}), json!({})),
        (json!({"maxProperties": 1}), json!({"a": 1}), json!({"a": 1, "b": 2})),
        (json!({"additionalProperties": {"type": "integer"}}), json!({"a": 1}), json!({"a": "1"})),
        (json!({"properties": {"a": false}}), json!({"b": 1}), json!({"a": 1})),
        (json!({"anyOf": [{"type": "string"}, {"minimum": 2}]}), json!("a"), json!(1)),
        (json!({"oneOf": [{"minimum": 1}, {"minimum": 5}]}), json!(2), json!(6)),
        (json!({"not": {"type": "string"}}), json!(1), json!("a")),
        (json!({"format": "date"}), json!("2024-02-29"), json!("2023-02-29")),
        (json!({"format": "date-time"}), json!("2024-02-29T23:59:60.5Z"), json!("2024-02-29T24:00:00Z")),
        (json!({"format": "date-time"}), json!("2024-02-29T10:00:00+02:00"), json!("2024-02-29T10:00:00")),
        (json!({"format": "date-time"}), json!("2024-02-29t10:00:00z"), json!("2024-02-29T10:00:00.Z")),
        (json!({"format": "email"}), json!("a@b.c"), json!("a@")),
        (json!({"format": "ipv4"}), json!("10.0.0.1"), json!("10.0.0.256")),
        (json!({"format": "ipv6"}), json!("::1"), json!("1")),
        (json!({"format": "int32"}), json!(1), json!(2_147_483_648_u64)),
    ] {
        assert!(fits(schema.clone(), good.clone()), "{schema} {good}");
        assert!(!fits(schema.clone(), bad.clone()), "{schema} {bad}");
    }
}

#[test]
fn references_in_circles_end() {
    let schema = json!({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}});
    let plugin = Gateway::new().middleware::<RequestValidator>(json!({"bodySchema": schema})).unwrap();
    assert_eq!(outcome(&plugin, post("1")).1[0]["detail"], "is nested too deeply");
}

#[test]
fn refuses_a_wrong_configuration() {
    let with_path = |path: &str, item: Value| refused(json!({"openapi": {"openapi": "3.1.0", "paths": {path: item}}}));
    let with_schema = |schema: Value| refused(json!({"bodySchema": schema}));
    assert_eq!(refused(json!({})), "");
    assert_eq!(refused(json!({"openapi": {}, "bodySchema": {}})), "");
    assert_eq!(refused(json!({"openapi": {"swagger": "2.0"}})), "openapi.openapi");
    assert_eq!(refused(json!({"openapi": {"openapi": "3.1.0"}})), "openapi.paths");
    assert_eq!(refused(json!({"openapi": document(), "basePath": "api"})), "basePath");
    assert_eq!(with_path("pets", json!({})), "openapi.paths.pets");
    assert_eq!(with_path("/a{b}", json!({})), "openapi.paths./a{b}");
    assert_eq!(with_path("/a", json!({"$ref": "#/x"})), "openapi.paths./a.$ref");
    assert_eq!(with_path("/a", json!({"get": {"parameters": [{"name": "a"}]}})), "openapi.paths./a.get.parameters[0]");
    let deep = json!({"name": "a", "in": "query", "style": "deepObject"});
    assert_eq!(with_path("/a", json!({"get": {"parameters": [deep]}})), "openapi.paths./a.get.parameters.a");
    assert_eq!(with_schema(json!({"contains": {}})), "bodySchema.contains");
    assert_eq!(with_schema(json!({"type": "text"})), "bodySchema.type");
    assert_eq!(with_schema(json!({"pattern": "("})), "bodySchema.pattern");
    assert_eq!(with_schema(json!({"multipleOf": 0})), "bodySchema.multipleOf");
    assert_eq!(with_schema(json!({"properties": {"a": {"$ref": "#/$defs/b"}}})), "bodySchema.properties.a.$ref");
    assert_eq!(with_schema(json!({"$ref": "#/$defs/b", "$defs": {"b": {"minimum": "1"}}})), "bodySchema.$defs.b.minimum");
}
