//! A message as the task that Cloud Tasks is asked to create.

use gcloud_sdk::google::cloud::tasks::v2::http_request::AuthorizationHeader;
use gcloud_sdk::google::cloud::tasks::v2::task::MessageType;
use gcloud_sdk::google::cloud::tasks::v2::{
    CreateTaskRequest, HttpMethod, HttpRequest, OidcToken, Task,
};

use super::queue::{Oidc, Queue};
use crate::endpoint::Endpoint;
use crate::message::Message;

/// The request that puts a message into a queue. The task's id is the message's, so that the queue
/// knows it again when it is asked twice.
pub(super) fn creation(queue: &Queue, endpoint: &Endpoint, message: &Message) -> CreateTaskRequest {
    let request = HttpRequest {
        url: endpoint.to_string(),
        http_method: HttpMethod::Post.into(),
        headers: message
            .headers()
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value.into_owned()))
            .collect(),
        body: message.body().to_vec(),
        authorization_header: queue.oidc.as_ref().map(token),
    };
    let task = Task {
        name: queue.path.task(message.id()),
        message_type: Some(MessageType::HttpRequest(request)),
        ..Default::default()
    };
    CreateTaskRequest {
        parent: queue.path.to_string(),
        task: Some(task),
        ..Default::default()
    }
}

fn token(oidc: &Oidc) -> AuthorizationHeader {
    AuthorizationHeader::OidcToken(OidcToken {
        service_account_email: oidc.service_account.clone(),
        audience: oidc.audience.clone().unwrap_or_default(),
    })
}
