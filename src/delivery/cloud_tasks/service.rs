//! Cloud Tasks as seen from the worker's runtime: one connection, one set of credentials, and the
//! attempts at a call.

use std::error::Error as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use gcloud_sdk::google::cloud::tasks::v2::cloud_tasks_client::CloudTasksClient;
use gcloud_sdk::google::cloud::tasks::v2::{CreateTaskRequest, GetQueueRequest, queue};
use tokio::time::{timeout, timeout_at};
use tonic::metadata::MetadataMap;
use tonic::{Code, Extensions, Request, Status};

use super::connection::{Connection, Settings, is_tls};
use super::credentials::Credentials;
use super::queue::Site;
use super::reason::{excerpt, without_values};
use super::retry;
use crate::draw::draw;
use crate::error::{Chain, DeliveryError, Kind};

/// Cloud Tasks routes a call by this; nothing else than the real service looks at it.
const ROUTING_HEADER: &str = "x-goog-request-params";

/// How long an attempt may take on a connection that has served before, if another one can follow:
/// it may have died without a sign. Half of what is left, where that is less.
const MAX_ON_USED_CONNECTION: Duration = Duration::from_secs(3);

/// How often an access token is asked for in one go, where it fails for a reason that passes. A
/// machine that has no credentials looks like that as well, and must not cost every event its time.
const MAX_CREDENTIAL_ATTEMPTS: u32 = 3;

/// How old credentials must be to be found anew after PERMISSION_DENIED: others may be in place by
/// then. Finding them at every event would cost more than the event.
const DENIED_CREDENTIALS: Duration = Duration::from_secs(60);

/// How often in a row a token may be given up waiting for before the worker is: each leaves a request
/// for it behind, which only the worker's end ends.
const MAX_GIVEN_UP: u32 = 4;

/// The service, with what has been set up to speak to it.
pub(super) struct Service {
    settings: Settings,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    connection: Option<Arc<Connection>>,
    credentials: Option<Known>,
    /// Credentials that were given up waiting for. They may have got their token since.
    slow: Option<Credentials>,
    /// How often in a row a token was given up waiting for.
    given_up: u32,
}

/// What the service can be asked to do.
#[derive(Clone)]
pub(super) enum Call {
    /// To put a task into its queue; in as many attempts as the time allows.
    Create(Arc<CreateTaskRequest>),
    /// To say what it knows of a queue; at once or not at all.
    Look(GetQueueRequest),
}

/// What it says once that is done: of a queue, the state that it is in.
pub(super) type Reply = Option<queue::State>;

/// Credentials in use.
#[derive(Clone)]
struct Known {
    credentials: Credentials,
    since: Instant,
}

/// Why an attempt failed, and what that means for the next.
pub(super) struct Failure {
    pub(super) error: DeliveryError,
    /// Whether nothing will succeed any more on this worker.
    pub(super) is_stuck: bool,
    next: Next,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// No further attempt.
    Never,
    /// One after a pause.
    AfterPause,
    /// One after a pause, a few times.
    Sparingly,
    /// One at once, by other means than this one's.
    AtOnce,
}

impl Failure {
    fn new(error: DeliveryError, next: Next) -> Failure {
        Failure {
            error,
            is_stuck: false,
            next,
        }
    }

    /// No other attempt can succeed.
    pub(super) fn last(error: DeliveryError) -> Failure {
        Failure::new(error, Next::Never)
    }

    /// It may pass, or may not.
    pub(super) fn passing(error: DeliveryError) -> Failure {
        Failure::new(error, Next::Sparingly)
    }

    /// Nothing will succeed any more on this worker.
    pub(super) fn stuck(error: DeliveryError) -> Failure {
        Failure {
            is_stuck: true,
            ..Failure::last(error)
        }
    }
}

impl Service {
    pub(super) fn new(settings: Settings) -> Service {
        Service {
            settings,
            state: Mutex::default(),
        }
    }

    /// Makes a call, in as many attempts as it is worth and the deadline allows.
    pub(super) async fn make(&self, call: &Call, deadline: Instant) -> Result<Reply, Failure> {
        let (mut failed, mut renewals) = (0, 0);
        let mut answer = None;
        loop {
            let is_renewal = renewals > 0;
            let mut failure = match self.attempt(call, deadline, is_renewal).await {
                Ok(reply) => return Ok(reply),
                Err(failure) => failure,
            };
            failed += 1;
            if !failure.error.is_timeout() {
                answer = None;
            } else if let Some(answer) = answer.take() {
                // It says more than that the time was up before another came.
                failure.error = answer;
            }
            let pause = match failure.next {
                Next::Never => return Err(failure),
                Next::Sparingly if failed >= MAX_CREDENTIAL_ATTEMPTS => return Err(failure),
                Next::AtOnce if is_renewal => return Err(failure),
                Next::AtOnce => {
                    renewals += 1;
                    Duration::ZERO
                }
                // Who looks wants to know how it is now.
                Next::AfterPause | Next::Sparingly if matches!(call, Call::Look(_)) => {
                    return Err(failure);
                }
                Next::AfterPause | Next::Sparingly => retry::pause(failed, draw()),
            };
            if Instant::now() + pause >= deadline {
                return Err(failure);
            }
            if !failure.error.is_timeout() {
                answer = Some(failure.error);
            }
            tokio::time::sleep(pause).await;
        }
    }

    async fn attempt(
        &self,
        call: &Call,
        deadline: Instant,
        is_renewal: bool,
    ) -> Result<Reply, Failure> {
        let connection = self.connection()?;
        let mut metadata = self.metadata(deadline).await?;
        let routing = match call {
            Call::Create(creation) => format!("parent={}", creation.parent),
            Call::Look(look) => format!("name={}", look.name),
        };
        let routing = routing.parse();
        let routing = routing.map_err(|_| Failure::last(Kind::Encoding.into()))?;
        metadata.insert(ROUTING_HEADER, routing);

        let left = deadline.saturating_duration_since(Instant::now());
        let may_follow = connection.has_served() && !is_renewal;
        let limit = if may_follow {
            (left / 2).min(MAX_ON_USED_CONNECTION)
        } else {
            left
        };
        match timeout(limit, ask(&connection, call, metadata)).await {
            Ok(Ok(reply)) => {
                connection.serves();
                Ok(reply)
            }
            Ok(Err(status)) => Err(self.refused(status, call, &connection)),
            Err(_) => {
                self.forget_connection(&connection);
                let error = DeliveryError::from(Kind::Timeout {
                    limit: self.settings.timeout,
                    during: "while connecting to Cloud Tasks or waiting for its answer",
                });
                Err(match may_follow {
                    true => Failure::new(error, Next::AtOnce),
                    false if connection.has_served() => Failure::last(error),
                    // Perhaps for a name lookup that hangs, and would hold up those that follow.
                    false => Failure::stuck(error),
                })
            }
        }
    }

    /// What an answer other than OK means.
    fn refused(&self, status: Status, call: &Call, connection: &Arc<Connection>) -> Failure {
        let code = status.code();
        if let Some(below) = status.source() {
            // Not an answer, but a connection that could not be made or was lost.
            self.forget_connection(connection);
            let is_tls = is_tls(below);
            let kind = if is_tls {
                Kind::Tls
            } else {
                Kind::QueueUnreachable
            };
            let error = DeliveryError::from(kind).with_source(excerpt(&Chain(below).to_string()));
            // What is wrong with a certificate is so a second later.
            let next = if is_tls {
                Next::Never
            } else {
                Next::AfterPause
            };
            return Failure::new(error, next);
        }
        connection.serves();
        if code == Code::Unknown {
            // Also what a channel answers that has broken down on this side, for good.
            self.forget_connection(connection);
        }
        let kind = Kind::Queue {
            code: retry::name(code),
            retryable: !retry::is_final(code),
        };
        let mut error = DeliveryError::from(kind);
        if !status.message().is_empty() {
            error = error.with_source(match call {
                Call::Create(creation) => without_values(status.message(), creation),
                Call::Look(_) => excerpt(status.message()),
            });
        }
        match code {
            // A token may have been revoked before its time: a new one shows.
            Code::Unauthenticated => {
                self.state().credentials = None;
                Failure::new(error, Next::AtOnce)
            }
            // Other credentials may be in place by the next event.
            Code::PermissionDenied => {
                let is_old = |known: &Known| known.since.elapsed() >= DENIED_CREDENTIALS;
                let mut state = self.state();
                state.credentials.take_if(|known| is_old(known));
                Failure::last(error)
            }
            code if retry::can_mend(code) => Failure::new(error, Next::AfterPause),
            _ => Failure::last(error),
        }
    }

    /// The access token, where the service wants one.
    async fn metadata(&self, deadline: Instant) -> Result<MetadataMap, Failure> {
        if let Site::Emulator { .. } = self.settings.site {
            return Ok(MetadataMap::new());
        }
        match timeout_at(deadline.into(), self.token(deadline)).await {
            Ok(Ok(metadata)) => {
                self.state().given_up = 0;
                Ok(metadata)
            }
            Ok(Err(failure)) => Err(failure),
            // The library's request for a token has no time limit and cannot be cancelled.
            Err(_) => {
                let error = DeliveryError::from(Kind::Timeout {
                    limit: self.settings.timeout,
                    during: "while waiting for an access token from Google's credentials",
                });
                let mut state = self.state();
                if let Some(known) = state.credentials.take() {
                    state.slow = Some(known.credentials);
                }
                state.given_up += 1;
                Err(match state.given_up >= MAX_GIVEN_UP {
                    true => Failure::stuck(error),
                    false => Failure::last(error),
                })
            }
        }
    }

    async fn token(&self, deadline: Instant) -> Result<MetadataMap, Failure> {
        let known = self.state().credentials.clone();
        if let Some(known) = known {
            match known.credentials.metadata().await {
                Ok(metadata) => return Ok(metadata),
                // They keep an error for good, so it may be an hour old: others are asked anew.
                Err(_) => self.forget_credentials(&known.credentials),
            }
        }
        let slow = self.state().slow.take();
        if let Some(slow) = slow
            && let Ok(Ok(metadata)) = timeout(
                // They may just have needed longer; the other half is for new ones.
                deadline.saturating_duration_since(Instant::now()) / 2,
                slow.metadata(),
            )
            .await
        {
            self.know(slow);
            return Ok(metadata);
        }
        let found = self.know(Credentials::find().await?);
        let metadata = found.metadata().await;
        if metadata.is_err() {
            self.forget_credentials(&found);
        }
        metadata
    }

    /// Those in use from now on. All that wait at once wait for the same token.
    fn know(&self, credentials: Credentials) -> Credentials {
        let since = Instant::now();
        let known = Known { credentials, since };
        self.state()
            .credentials
            .get_or_insert(known)
            .credentials
            .clone()
    }

    /// The next attempt finds others, unless another has found some already.
    fn forget_credentials(&self, credentials: &Credentials) {
        let is_theirs = |known: &mut Known| known.credentials.is(credentials);
        self.state().credentials.take_if(is_theirs);
    }

    fn connection(&self) -> Result<Arc<Connection>, Failure> {
        let mut state = self.state();
        if let Some(connection) = &state.connection {
            return Ok(Arc::clone(connection));
        }
        let connection = Connection::new(&self.settings).map_err(Failure::last)?;
        Ok(Arc::clone(state.connection.insert(Arc::new(connection))))
    }

    /// The next attempt gets a new connection, unless another has made one already.
    fn forget_connection(&self, connection: &Arc<Connection>) {
        let mut state = self.state();
        let is_current = |current: &Arc<Connection>| Arc::ptr_eq(current, connection);
        if state.connection.as_ref().is_some_and(is_current) {
            state.connection = None;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One attempt at a call.
async fn ask(connection: &Connection, call: &Call, metadata: MetadataMap) -> Result<Reply, Status> {
    fn with<T>(metadata: MetadataMap, message: T) -> Request<T> {
        Request::from_parts(metadata, Extensions::default(), message)
    }

    let mut service = CloudTasksClient::new(connection.channel.clone());
    match call {
        Call::Create(creation) => {
            match service
                .create_task(with(metadata, CreateTaskRequest::clone(creation)))
                .await
            {
                Ok(_) => Ok(None),
                // Stored by an attempt before this one, whose answer was lost.
                Err(status) if status.code() == Code::AlreadyExists => Ok(None),
                Err(status) => Err(status),
            }
        }
        Call::Look(look) => {
            let queue = service.get_queue(with(metadata, look.clone())).await?;
            Ok(Some(queue.into_inner().state()))
        }
    }
}
