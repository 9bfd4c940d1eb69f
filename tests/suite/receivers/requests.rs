//! Requests as they go over the wire.

use serde_json::json;

pub(super) const JSON: &str = "Content-Type: application/json";

/// A payload as the reference documents it.
pub(super) fn payload(action: &str, data: &str) -> String {
    let event = json!({
        "action": action,
        "workspace": "my-workspace",
        "collection": "my-collection",
        "resource_type": "dataset",
        "resource_name": "my-dataset",
        "timestamp": 1704556800000_i64,
    });
    format!("{{\"event\": {event}, \"data\": {data}}}")
}

pub(super) fn event(body: impl AsRef<[u8]>) -> Vec<u8> {
    post(&[JSON], body)
}

pub(super) fn post(headers: &[&str], body: impl AsRef<[u8]>) -> Vec<u8> {
    request("POST", "/event", headers, body)
}

pub(super) fn request(
    method: &str,
    target: &str,
    headers: &[&str],
    body: impl AsRef<[u8]>,
) -> Vec<u8> {
    let length = format!("Content-Length: {}", body.as_ref().len());
    let headers = [&["Host: receiver.example", &length], headers].concat();
    raw(&format!("{method} {target} HTTP/1.1"), &headers, body)
}

pub(super) fn chunked(chunks: &[&[u8]]) -> Vec<u8> {
    let mut body = Vec::new();
    for chunk in chunks {
        body.extend(format!("{:x}\r\n", chunk.len()).into_bytes());
        body.extend_from_slice(chunk);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"0\r\n\r\n");
    let headers = ["Transfer-Encoding: chunked", JSON];
    raw("POST /event HTTP/1.1", &headers, body)
}

/// A request with these headers and no others.
pub(super) fn raw(line: &str, headers: &[&str], body: impl AsRef<[u8]>) -> Vec<u8> {
    let mut head = format!("{line}\r\n");
    for header in headers {
        head = head + header + "\r\n";
    }
    [head.as_bytes(), b"\r\n", body.as_ref()].concat()
}

pub(super) fn utf_16(text: &str, bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
    text.encode_utf16().flat_map(bytes).collect()
}

pub(super) fn utf_32(text: &str, bytes: fn(u32) -> [u8; 4]) -> Vec<u8> {
    text.chars().map(u32::from).flat_map(bytes).collect()
}
