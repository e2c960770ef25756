//! Marks responses with a text of its configuration, and keeps `/private` to itself.

#[link(wasm_import_module = "http_handler")]
unsafe extern "C" {
    fn get_config(buf: *mut u8, limit: u32) -> u32;
    fn get_uri(buf: *mut u8, limit: u32) -> u32;
    fn set_header_value(kind: u32, name: *const u8, name_len: u32, value: *const u8, value_len: u32);
    fn set_status_code(code: u32);
    fn write_body(kind: u32, body: *const u8, len: u32);
}

const RESPONSE: u32 = 1;

/// Asks how long it is, then for the bytes.
fn text(call: unsafe extern "C" fn(*mut u8, u32) -> u32) -> String {
    let mut buf = vec![0; unsafe { call(std::ptr::null_mut(), 0) } as usize];
    unsafe { call(buf.as_mut_ptr(), buf.len() as u32) };
    String::from_utf8_lossy(&buf).into_owned()
}

/// A text of the configuration, found without a reader of JSON.
fn option(name: &str) -> String {
    let config = text(get_config);
    let found = config.split_once(&format!("\"{name}\":\"")).and_then(|(_, rest)| rest.split_once('"'));
    found.map(|(value, _)| value.to_owned()).unwrap_or_default()
}

/// 1 lets the request go on, 0 does not; the upper half is handed to `handle_response`.
#[unsafe(no_mangle)]
pub extern "C" fn handle_request() -> u64 {
    let (name, greeting) = ("X-Greeting", option("greeting"));
    unsafe { set_header_value(RESPONSE, name.as_ptr(), name.len() as u32, greeting.as_ptr(), greeting.len() as u32) };
    if !text(get_uri).starts_with("/private") {
        return 1;
    }
    let body = "not for you\n";
    unsafe {
        set_status_code(403);
        write_body(RESPONSE, body.as_ptr(), body.len() as u32);
    }
    0
}

#[unsafe(no_mangle)]
pub extern "C" fn handle_response(_context: u32, _is_error: u32) {}
