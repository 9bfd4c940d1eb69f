//! A Cloud Tasks server of the tests' own. It checks what the emulator does not: the routing header,
//! the task's name, a name that comes twice; and it fails as it is told to.

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::Future;
use std::net::{SocketAddr, TcpListener};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use gcloud_sdk::google::cloud::tasks::v2::task::MessageType;
use gcloud_sdk::google::cloud::tasks::v2::{
    CreateTaskRequest, GetQueueRequest, HttpRequest, Queue, Task, queue,
};
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;
use tonic::server::{Grpc, UnaryService};
use tonic::{Code, Request, Response, Status};

const CREATE_TASK: &str = "/google.cloud.tasks.v2.CloudTasks/CreateTask";
const GET_QUEUE: &str = "/google.cloud.tasks.v2.CloudTasks/GetQueue";

/// What the server does with a call.
#[derive(Clone, Debug)]
pub enum Reply {
    /// Store the task, as Cloud Tasks does.
    Store,
    /// Answer with this code and reason, and store nothing.
    Refuse(Code, &'static str),
    /// Store it, and lose the connection before the answer.
    StoreAndHangUp,
    /// Never answer.
    Hang,
}

/// What whoever asks for a queue is told.
#[derive(Clone, Copy, Debug)]
pub enum Look {
    Is(queue::State),
    Refuse(Code, &'static str),
    /// Never answer.
    Hang,
}

/// A call that arrived.
#[derive(Clone, Debug)]
pub struct Call {
    pub request: CreateTaskRequest,
    pub authorization: Option<String>,
}

impl Call {
    pub fn task(&self) -> &Task {
        self.request.task.as_ref().expect("a call has a task")
    }

    pub fn http(&self) -> &HttpRequest {
        match &self.task().message_type {
            Some(MessageType::HttpRequest(request)) => request,
            other => panic!("not an HTTP task: {other:?}"),
        }
    }
}

type Script = Box<dyn FnMut(&Call) -> Reply + Send>;

/// What outlives the server's restarts.
#[derive(Default)]
struct Memory {
    calls: Vec<Call>,
    stored: HashMap<String, Task>,
    /// How often a name came that was there already.
    duplicates: usize,
    connections: usize,
    script: Option<Script>,
    look: Option<Look>,
    looks: usize,
}

pub struct QueueServer {
    address: SocketAddr,
    tls: Option<Arc<ServerConfig>>,
    memory: Arc<Mutex<Memory>>,
    running: Option<Running>,
}

struct Running {
    stop: tokio::sync::oneshot::Sender<()>,
    thread: thread::JoinHandle<()>,
}

impl QueueServer {
    /// In plain text, as an emulator.
    pub fn start() -> QueueServer {
        QueueServer::on(TcpListener::bind("127.0.0.1:0").unwrap(), None)
    }

    /// Over TLS, as Google.
    pub fn start_tls(config: &ServerConfig) -> QueueServer {
        let mut config = config.clone();
        config.alpn_protocols = vec![b"h2".to_vec()];
        QueueServer::on(
            TcpListener::bind("127.0.0.1:0").unwrap(),
            Some(Arc::new(config)),
        )
    }

    fn on(listener: TcpListener, tls: Option<Arc<ServerConfig>>) -> QueueServer {
        let mut server = QueueServer {
            address: listener.local_addr().unwrap(),
            tls,
            memory: Arc::default(),
            running: None,
        };
        server.run(listener);
        server
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on, what each call gets.
    pub fn answer(&self, script: impl FnMut(&Call) -> Reply + Send + 'static) {
        self.memory.lock().unwrap().script = Some(Box::new(script));
    }

    /// From now on, what every call gets.
    pub fn always(&self, reply: Reply) {
        self.answer(move |_| reply.clone());
    }

    /// From now on, what whoever asks for a queue is told; that it is running, unless set.
    pub fn show(&self, look: Look) {
        self.memory.lock().unwrap().look = Some(look);
    }

    /// How often a queue was asked for.
    pub fn looks(&self) -> usize {
        self.memory.lock().unwrap().looks
    }

    pub fn calls(&self) -> Vec<Call> {
        self.memory.lock().unwrap().calls.clone()
    }

    /// The names of the tasks that it holds.
    pub fn stored(&self) -> Vec<String> {
        self.memory.lock().unwrap().stored.keys().cloned().collect()
    }

    pub fn duplicates(&self) -> usize {
        self.memory.lock().unwrap().duplicates
    }

    pub fn connections(&self) -> usize {
        self.memory.lock().unwrap().connections
    }

    /// Ends it as kill -9 would: every connection is gone in the middle of what it did.
    pub fn kill(&mut self) {
        if let Some(running) = self.running.take() {
            let _ = running.stop.send(());
            running.thread.join().expect("the server ran well");
        }
    }

    /// Starts it again, on the same port and with what it had stored.
    pub fn restart(&mut self) {
        let started = Instant::now();
        let listener = loop {
            match TcpListener::bind(self.address) {
                Ok(listener) => break listener,
                Err(error) if started.elapsed() > Duration::from_secs(10) => {
                    panic!("{}: {error}", self.address)
                }
                Err(_) => thread::yield_now(),
            }
        };
        self.run(listener);
    }

    fn run(&mut self, listener: TcpListener) {
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let (memory, tls) = (Arc::clone(&self.memory), self.tls.clone());
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                tokio::select! {
                    () = accept(listener, tls, memory) => {}
                    _ = stopped => {}
                }
            });
        });
        self.running = Some(Running { stop, thread });
    }
}

impl Drop for QueueServer {
    fn drop(&mut self) {
        self.kill();
    }
}

async fn accept(listener: TcpListener, tls: Option<Arc<ServerConfig>>, memory: Arc<Mutex<Memory>>) {
    listener.set_nonblocking(true).unwrap();
    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
    while let Ok((socket, _)) = listener.accept().await {
        memory.lock().unwrap().connections += 1;
        socket.set_nodelay(true).unwrap();
        let (tls, memory) = (tls.clone(), Arc::clone(&memory));
        tokio::spawn(async move {
            match tls {
                None => serve(socket, memory).await,
                Some(config) => {
                    if let Ok(stream) = TlsAcceptor::from(config).accept(socket).await {
                        serve(stream, memory).await;
                    }
                }
            }
        });
    }
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin + 'static, memory: Arc<Mutex<Memory>>) {
    let (hang_up, mut hung_up) = tokio::sync::mpsc::channel::<()>(1);
    let service = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
        let method = Method {
            memory: Arc::clone(&memory),
            hang_up: hang_up.clone(),
        };
        async move {
            Ok::<_, Infallible>(match request.uri().path() {
                CREATE_TASK => {
                    let mut grpc = Grpc::new(tonic_prost::ProstCodec::default());
                    grpc.unary(method, request).await
                }
                GET_QUEUE => {
                    let mut grpc = Grpc::new(tonic_prost::ProstCodec::default());
                    grpc.unary(GetQueue(method.memory), request).await
                }
                other => panic!("an unknown method: {other}"),
            })
        }
    });
    let connection = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        _ = connection => {}
        _ = hung_up.recv() => {}
    }
}

struct Method {
    memory: Arc<Mutex<Memory>>,
    hang_up: tokio::sync::mpsc::Sender<()>,
}

impl UnaryService<CreateTaskRequest> for Method {
    type Response = Task;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Task>, Status>> + Send>>;

    fn call(&mut self, request: Request<CreateTaskRequest>) -> Self::Future {
        let (memory, hang_up) = (Arc::clone(&self.memory), self.hang_up.clone());
        Box::pin(async move {
            let text = |name| {
                let value = request.metadata().get(name)?;
                Some(value.to_str().unwrap().to_owned())
            };
            let (routing, authorization) = (text("x-goog-request-params"), text("authorization"));
            let call = Call {
                authorization,
                request: request.into_inner(),
            };
            let (reply, result) = {
                let memory = &mut *memory.lock().unwrap();
                memory.calls.push(call.clone());
                let reply = match &mut memory.script {
                    Some(script) => script(&call),
                    None => Reply::Store,
                };
                let result = match reply {
                    Reply::Store | Reply::StoreAndHangUp => memory.store(&call, routing),
                    Reply::Refuse(code, reason) => Err(Status::new(code, reason)),
                    Reply::Hang => Err(Status::internal("never sent")),
                };
                (reply, result)
            };
            match reply {
                Reply::StoreAndHangUp => {
                    let _ = hang_up.send(()).await;
                    std::future::pending().await
                }
                Reply::Hang => std::future::pending().await,
                Reply::Store | Reply::Refuse(..) => result.map(Response::new),
            }
        })
    }
}

struct GetQueue(Arc<Mutex<Memory>>);

impl UnaryService<GetQueueRequest> for GetQueue {
    type Response = Queue;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Queue>, Status>> + Send>>;

    fn call(&mut self, request: Request<GetQueueRequest>) -> Self::Future {
        let memory = Arc::clone(&self.0);
        Box::pin(async move {
            let routing = request.metadata().get("x-goog-request-params").cloned();
            let name = request.into_inner().name;
            let look = {
                let memory = &mut *memory.lock().unwrap();
                memory.looks += 1;
                memory.look.unwrap_or(Look::Is(queue::State::Running))
            };
            let routing = routing.map(|routing| routing.to_str().unwrap().to_owned());
            if routing != Some(format!("name={name}")) {
                let problem = format!("routing header: {routing:?}");
                return Err(Status::invalid_argument(problem));
            }
            match look {
                Look::Is(state) => Ok(Response::new(Queue {
                    name,
                    state: state.into(),
                    ..Default::default()
                })),
                Look::Refuse(code, reason) => Err(Status::new(code, reason)),
                Look::Hang => std::future::pending().await,
            }
        })
    }
}

impl Memory {
    fn store(&mut self, call: &Call, routing: Option<String>) -> Result<Task, Status> {
        let parent = &call.request.parent;
        // As the real service is reported to, and no emulator does. Google's own libraries escape
        // the slashes, which it takes as well.
        let routing = routing.map(|routing| routing.replace("%2F", "/"));
        if routing != Some(format!("parent={parent}")) {
            return Err(Status::invalid_argument(format!(
                "routing header: {routing:?}"
            )));
        }
        let mut task = call.task().clone();
        if task.name.is_empty() {
            task.name = format!("{parent}/tasks/{}", self.stored.len());
        }
        let id = task.name.strip_prefix(&format!("{parent}/tasks/"));
        let is_id = |id: &str| {
            (1..=500).contains(&id.len())
                && id
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
        };
        if !id.is_some_and(is_id) {
            return Err(Status::invalid_argument(format!("name: {}", task.name)));
        }
        if self.stored.contains_key(&task.name) {
            self.duplicates += 1;
            return Err(Status::already_exists("the task exists"));
        }
        self.stored.insert(task.name.clone(), task.clone());
        Ok(task)
    }
}
