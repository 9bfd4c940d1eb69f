//! What the receiver prints and answers: the sample Flask receiver's lines and answer, and Flask's
//! own answers to whatever is wrong.

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Response, StatusCode};
use percent_encoding::percent_decode_str;

use super::admission::Admission;
use super::python::{self, LoadError, Value};

/// What comes of one request.
pub(crate) struct Reply {
    /// The lines to print, each with its end. They may be some of an event's lines only, if the
    /// answer is that something went wrong on the way.
    pub(crate) lines: String,
    pub(crate) answer: Answer,
}

/// The answers that a sender can get.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Answer {
    Received,
    Options,
    BadRequest,
    Unauthorized,
    NotFound,
    MethodNotAllowed,
    ContentTooLarge,
    UnsupportedMediaType,
    InternalServerError,
}

/// The reply to a request. Of a body that could not be read there is the answer to that instead,
/// which comes into its own only if nothing is wrong with the head.
pub(crate) fn respond(head: &Parts, body: Result<&[u8], Answer>, admission: &Admission) -> Reply {
    let mut lines = String::new();
    let answer = match receive(head, body, admission, &mut lines) {
        Ok(()) => Answer::Received,
        Err(answer) => answer,
    };
    Reply { lines, answer }
}

fn receive(
    head: &Parts,
    body: Result<&[u8], Answer>,
    admission: &Admission,
    lines: &mut String,
) -> Result<(), Answer> {
    if !is_event_path(head.uri.path()) {
        return Err(Answer::NotFound);
    }
    if head.method.as_str().eq_ignore_ascii_case("OPTIONS") {
        return Err(Answer::Options);
    }
    if !head.method.as_str().eq_ignore_ascii_case("POST") {
        return Err(Answer::MethodNotAllowed);
    }
    admission.verify(head, body)?;
    if admission.is_repeated(head) {
        return Ok(());
    }
    let shown = show(head, body, lines);
    if shown.is_err() {
        admission.forget(head);
    }
    shown
}

fn show(head: &Parts, body: Result<&[u8], Answer>, lines: &mut String) -> Result<(), Answer> {
    if !is_json(head) {
        return Err(Answer::UnsupportedMediaType);
    }
    let payload = python::loads(body?).map_err(|error| match error {
        LoadError::Value => Answer::BadRequest,
        LoadError::Recursion => Answer::InternalServerError,
    })?;
    print(&payload, lines).ok_or(Answer::InternalServerError)
}

/// The path counts as Werkzeug sees it: decoded, and however many slashes it starts with.
fn is_event_path(path: &str) -> bool {
    let path: Vec<u8> = percent_decode_str(path).collect();
    let slashes = path.iter().take_while(|byte| **byte == b'/').count();
    slashes > 0 && path[slashes..] == *b"event"
}

/// Whether the content type, of which the last counts, is `application/json` or
/// `application/…+json`, parameters aside.
fn is_json(head: &Parts) -> bool {
    let content_type = head.headers.get_all(CONTENT_TYPE).iter().next_back();
    let content_type = content_type.map_or(&b""[..], HeaderValue::as_bytes);
    let media_type = content_type.split(|byte| *byte == b';').next();
    let media_type = media_type.unwrap_or_default().trim_ascii();
    let media_type = media_type.to_ascii_lowercase();
    media_type == b"application/json"
        || media_type.starts_with(b"application/") && media_type.ends_with(b"+json")
}

/// Prints an event. Ends where Python's would with an exception, after what it has printed by then.
fn print(payload: &Value, lines: &mut String) -> Option<()> {
    let event = payload.get("event")?;
    let action = event.get("action")?;
    let resource_type = event.get("resource_type")?;
    let resource_name = event.get("resource_name")?;
    let workspace = event.get("workspace")?;
    let collection = event.get("collection")?;

    let (action, resource_type) = (action.str()?, resource_type.str()?);
    let resource_name = resource_name.str()?;
    *lines += &format!("Received {action} event for {resource_type} {resource_name}\n");
    let (workspace, collection) = (workspace.str()?, collection.str()?);
    *lines += &format!("Workspace: {workspace}, Collection: {collection}\n");
    *lines += &format!("Timestamp: {}\n", event.get("timestamp")?.str()?);
    *lines += &format!("Data: {}\n", payload.get("data")?.str()?);
    Some(())
}

impl Answer {
    pub(crate) fn response(self) -> Response<Full<Bytes>> {
        let (status, name, description) = match self {
            Answer::Received => {
                let body = Bytes::from_static(b"{\"status\":\"ok\"}\n");
                return response(StatusCode::OK, "application/json", body);
            }
            Answer::Options => {
                let mut response = response(StatusCode::OK, HTML, Bytes::new());
                response.headers_mut().insert(ALLOW, ALLOWED);
                return response;
            }
            Answer::BadRequest => (
                StatusCode::BAD_REQUEST,
                "Bad Request",
                "The browser (or proxy) sent a request that this server could not understand.",
            ),
            Answer::Unauthorized => (
                StatusCode::UNAUTHORIZED,
                "Unauthorized",
                "The server could not verify that you are authorized to access the URL requested. \
                 You either supplied the wrong credentials (e.g. a bad password), or your browser \
                 doesn&#39;t understand how to supply the credentials required.",
            ),
            Answer::NotFound => (
                StatusCode::NOT_FOUND,
                "Not Found",
                "The requested URL was not found on the server. If you entered the URL manually \
                 please check your spelling and try again.",
            ),
            Answer::MethodNotAllowed => (
                StatusCode::METHOD_NOT_ALLOWED,
                "Method Not Allowed",
                "The method is not allowed for the requested URL.",
            ),
            Answer::ContentTooLarge => (
                StatusCode::PAYLOAD_TOO_LARGE,
                "Request Entity Too Large",
                "The data value transmitted exceeds the capacity limit.",
            ),
            Answer::UnsupportedMediaType => (
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "Unsupported Media Type",
                "Did not attempt to load JSON data because the request Content-Type was not \
                 &#39;application/json&#39;.",
            ),
            Answer::InternalServerError => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "Internal Server Error",
                "The server encountered an internal error and was unable to complete your \
                 request. Either the server is overloaded or there is an error in the application.",
            ),
        };
        let page = format!(
            "<!doctype html>\n\
             <html lang=en>\n\
             <title>{} {name}</title>\n\
             <h1>{name}</h1>\n\
             <p>{description}</p>\n",
            status.as_u16(),
        );
        let mut response = response(status, HTML, Bytes::from(page));
        if status == StatusCode::METHOD_NOT_ALLOWED {
            response.headers_mut().insert(ALLOW, ALLOWED);
        }
        response
    }
}

const HTML: &str = "text/html; charset=utf-8";
const ALLOWED: HeaderValue = HeaderValue::from_static("OPTIONS, POST");

fn response(status: StatusCode, content_type: &'static str, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    let content_type = HeaderValue::from_static(content_type);
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}
