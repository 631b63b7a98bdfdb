//! Owns the program that ConnectRPC's conformance runner drives (`scripts/conformance`): its service, behind the layers that every call
//! passes.

use std::{
    convert::Infallible,
    env,
    io::{Read, Write},
    net::Ipv4Addr,
    sync::Arc,
    time::Duration,
};

use futures_util::stream;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, header::CONTENT_TYPE, request};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Bytes, Incoming};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto::Builder,
    service::TowerToHyperService,
};
use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor, ServiceDescriptor, Value};
use prost_types::Any;
use tokio::{net::TcpListener, time::sleep};
use tonic::{Code, Status, body::Body};
use tonic_types::pb;
use tower::{Service, ServiceBuilder, ServiceExt, service_fn};

use super::Connect;
use crate::{
    admission::{Bounds, CallBounds, Nobody, Pool, PoolBounds, Resources, SetBounds},
    auth::Policy,
    base::{Clock, Timestamp},
    errors::FailureLog,
    metrics::Metrics,
    model::AllowedHosts,
    proto::described::ERROR_DETAILS,
    rpc::{
        admit::AdmitLayer,
        meter::{MeterLayer, MeteredBody, Told},
        protocol::ProtocolLayer,
        web::WebLayer,
    },
};

const PACKAGE: &str = "connectrpc.conformance.v1";

/// Long enough for every delay that the runner asks for.
const PATIENCE: Duration = Duration::from_mins(1);

/// The answer's gRPC frames, and between them what is waited for.
type Frames = Vec<(Duration, Frame<Bytes>)>;

/// `ConformanceService`, by its descriptors.
#[derive(Clone)]
struct Conformance(ServiceDescriptor);

/// One call, and what it is to be answered.
struct Asked {
    output: MessageDescriptor,
    definition: Option<DynamicMessage>,
    info: DynamicMessage,
    is_stream: bool,
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "scripts/conformance starts it, for the runner that asks it"]
async fn serves() {
    let set = protox::compile(
        [
            format!("{}/service.proto", PACKAGE.replace('.', "/")),
            format!("{}/server_compat.proto", PACKAGE.replace('.', "/")),
        ],
        [env::var("SIGNET_CONFORMANCE_PROTO").unwrap()],
    );
    let pool = DescriptorPool::decode(&*set.unwrap().encode_to_vec()).unwrap();
    let message = |name: &str| pool.get_message_by_name(&format!("{PACKAGE}.{name}")).unwrap();
    let mut length = [0; 4];
    std::io::stdin().read_exact(&mut length).unwrap();
    let mut request = vec![0; usize::try_from(u32::from_be_bytes(length)).unwrap()];
    std::io::stdin().read_exact(&mut request).unwrap();
    let request = DynamicMessage::decode(message("ServerCompatRequest"), &*request).unwrap();
    let limit = usize::try_from(number(&request, "message_receive_limit")).unwrap();

    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let mut response = DynamicMessage::new(message("ServerCompatResponse"));
    response.set_field_by_name("host", Value::String("127.0.0.1".to_owned()));
    response.set_field_by_name("port", Value::U32(listener.local_addr().unwrap().port().into()));
    let response = response.encode_to_vec();
    // Standard output is the test runner's own.
    let mut out = std::fs::OpenOptions::new().write(true).open("/proc/self/fd/3").unwrap();
    out.write_all(&u32::try_from(response.len()).unwrap().to_be_bytes()).unwrap();
    out.write_all(&response).unwrap();
    out.flush().unwrap();

    let service = layered(&pool, if limit == 0 { 1 << 20 } else { limit });
    tokio::spawn(async move {
        loop {
            let (tcp, _) = listener.accept().await.unwrap();
            let service = TowerToHyperService::new(service.clone());
            tokio::spawn(async move {
                Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(tcp), service).await
            });
        }
    });
    // The runner closes the input at once, and ends this when it has asked everything; should it end otherwise, this does, too.
    let runner = std::os::unix::process::parent_id();
    while std::os::unix::process::parent_id() == runner {
        tokio::time::sleep(PATIENCE).await;
    }
}

/// The service, behind the layers that every call passes but for that of the callers, of which it knows none.
fn layered(
    pool: &DescriptorPool,
    message_bytes: usize,
) -> impl Service<Request<Incoming>, Response = Response<MeteredBody>, Error = Infallible, Future: Send>
+ Clone
+ Send
+ use<> {
    let clock = Clock::manual(Timestamp::from_micros(0));
    let resources = Resources {
        memory_budget: 1 << 30,
        reserved_bytes: 0,
        max_header_bytes: 65_536,
        max_message_bytes: message_bytes,
        open_files: None,
        listeners: 1,
    };
    let call = CallBounds {
        message_bytes,
        receive_timeout: PATIENCE,
        request_timeout: PATIENCE,
        stream_age: PATIENCE,
    };
    let bounds = PoolBounds::derived(&Bounds::new(&resources, &SetBounds::default()), &call);
    let places = Pool::new("conformance", bounds, clock.clone(), Arc::new(Nobody));
    let failures = FailureLog::new("conformance", clock.clone());
    let told = Told { failures, requests: None, traces: None };
    let pools = [pool.clone()];
    let meter = MeterLayer::new(&Metrics::new().calls, clock, told, &pools);
    let connect = Connect::new(&pools, ERROR_DETAILS.clone());
    let conformance =
        Conformance(pool.get_service_by_name(&format!("{PACKAGE}.ConformanceService")).unwrap());
    ServiceBuilder::new()
        .layer(WebLayer::new(Vec::new(), AllowedHosts::new(Vec::new()), Some(connect)))
        .layer(meter)
        .layer(ProtocolLayer::new(65_536))
        .layer(AdmitLayer::new(places.clone(), places, &pools, &Policy::default()))
        .service(service_fn(move |request| {
            let conformance = conformance.clone();
            async move { Ok::<_, Infallible>(conformance.answer(request).await) }
        }))
        .map_request(|request: Request<Incoming>| request.map(Body::new))
}

impl Conformance {
    async fn answer(&self, request: Request<Body>) -> Response<Body> {
        let (head, body) = request.into_parts();
        let name = head.uri.path().rsplit('/').next().unwrap_or_default();
        let method = self.0.methods().find(|method| method.name() == name && name != "Unimplemented");
        let Some(method) = method else { return Status::unimplemented("").into_http() };
        let frame = match body.collect().await {
            Ok(body) => body.to_bytes(),
            Err(status) => return status.into_http(),
        };
        let Ok(message) = DynamicMessage::decode(method.input(), &frame[5..]) else {
            return Status::invalid_argument("no message").into_http();
        };
        let definition = inner(&message, "response_definition");
        let info = self.info(&head, &message);
        let is_stream = method.is_server_streaming();
        Asked { output: method.output(), definition, info, is_stream }.answer()
    }

    fn message(&self, name: &str) -> DynamicMessage {
        let pool = self.0.parent_pool();
        DynamicMessage::new(pool.get_message_by_name(&format!("{PACKAGE}.{name}")).unwrap())
    }

    /// What the request was like.
    fn info(&self, head: &request::Parts, message: &DynamicMessage) -> DynamicMessage {
        let mut info = self.message("ConformancePayload.RequestInfo");
        let header = |name: &str, values: Vec<Value>| {
            let mut header = self.message("Header");
            header.set_field_by_name("name", Value::String(name.to_owned()));
            header.set_field_by_name("value", Value::List(values));
            Value::Message(header)
        };
        let headers = head.headers.keys().map(|name| {
            let values = head.headers.get_all(name).iter();
            let texts =
                values.map(|value| Value::String(String::from_utf8_lossy(value.as_bytes()).into_owned()));
            header(name.as_str(), texts.collect())
        });
        info.set_field_by_name("request_headers", Value::List(headers.collect()));
        let timeout = head.headers.get("grpc-timeout").and_then(|value| value.to_str().ok());
        if let Some((digits, unit)) = timeout.and_then(|text| text.split_at_checked(text.len() - 1)) {
            let number: i64 = digits.parse().unwrap();
            let millis = if unit == "S" { number * 1_000 } else { number };
            info.set_field_by_name("timeout_ms", Value::I64(millis));
        }
        let any_type = self.0.parent_pool().get_message_by_name("google.protobuf.Any").unwrap();
        let mut any = DynamicMessage::new(any_type);
        any.transcode_from(&any_of(message)).unwrap();
        info.set_field_by_name("requests", Value::List(vec![Value::Message(any)]));
        if let Some(query) = head.uri.query() {
            let mut get = self.message("ConformancePayload.ConnectGetInfo");
            let pairs = url::form_urlencoded::parse(query.as_bytes());
            let pairs = pairs.map(|(name, value)| header(&name, vec![Value::String(value.into_owned())]));
            get.set_field_by_name("query_params", Value::List(pairs.collect()));
            info.set_field_by_name("connect_get_info", Value::Message(get));
        }
        info
    }
}

impl Asked {
    fn answer(self) -> Response<Body> {
        let definition = self.definition.as_ref();
        let metadata = |name| definition.map_or_else(HeaderMap::new, |definition| headers(definition, name));
        let delay = Duration::from_millis(definition.map_or(0, |it| number(it, "response_delay_ms")));
        let error = definition.and_then(|definition| inner(definition, "error"));
        let mut frames = Frames::new();
        let data: Vec<Bytes> = match definition {
            Some(definition) if self.is_stream => {
                list(definition, "response_data").iter().map(data_of).collect()
            }
            Some(definition) => vec![data_of(&definition.get_field_by_name("response_data").unwrap())],
            None if self.is_stream => Vec::new(),
            None => vec![Bytes::new()],
        };
        if self.is_stream || error.is_none() {
            for (index, data) in data.into_iter().enumerate() {
                frames.push((delay, Frame::data(self.payload(data, index == 0))));
            }
        }
        let status = match &error {
            None => Status::ok(""),
            Some(error) => self.status(error, frames.is_empty()),
        };
        let mut trailers = metadata("response_trailers");
        status.add_header(&mut trailers).unwrap();
        let last = if frames.is_empty() { delay } else { Duration::ZERO };
        frames.push((last, Frame::trailers(trailers)));
        let frames = stream::unfold(frames.into_iter(), |mut frames| async move {
            let (delay, frame) = frames.next()?;
            sleep(delay).await;
            Some((Ok::<_, Status>(frame), frames))
        });
        let mut response = Response::new(Body::new(StreamBody::new(Box::pin(frames))));
        *response.headers_mut() = metadata("response_headers");
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        response
    }

    /// The frame of a message with `data`.
    fn payload(&self, data: Bytes, is_first: bool) -> Bytes {
        let field = self.output.get_field_by_name("payload").unwrap();
        let mut payload = DynamicMessage::new(field.kind().as_message().unwrap().clone());
        payload.set_field_by_name("data", Value::Bytes(data));
        if is_first {
            payload.set_field_by_name("request_info", Value::Message(self.info.clone()));
        }
        let mut message = DynamicMessage::new(self.output.clone());
        message.set_field(&field, Value::Message(payload));
        let message = message.encode_to_vec();
        let length = u32::try_from(message.len()).unwrap().to_be_bytes();
        [&[0][..], &length, &message].concat().into()
    }

    fn status(&self, error: &DynamicMessage, has_info: bool) -> Status {
        let code = error.get_field_by_name("code").unwrap().as_enum_number().unwrap();
        let message = error.get_field_by_name("message").unwrap().as_str().unwrap().to_owned();
        let mut details: Vec<Any> = list(error, "details")
            .iter()
            .map(|detail| detail.as_message().unwrap().transcode_to().unwrap())
            .collect();
        if has_info {
            details.push(any_of(&self.info));
        }
        let inner = pb::Status { code, message: message.clone(), details };
        Status::with_details(Code::from_i32(code), message, inner.encode_to_vec().into())
    }
}

fn any_of(message: &DynamicMessage) -> Any {
    let name = prost_reflect::ReflectMessage::descriptor(message).full_name().to_owned();
    Any { type_url: format!("type.googleapis.com/{name}"), value: message.encode_to_vec() }
}

fn inner(message: &DynamicMessage, name: &str) -> Option<DynamicMessage> {
    let field = message.has_field_by_name(name).then(|| message.get_field_by_name(name).unwrap())?;
    field.as_message().cloned()
}

fn list(message: &DynamicMessage, name: &str) -> Vec<Value> {
    message.get_field_by_name(name).unwrap().as_list().unwrap().to_vec()
}

fn number(message: &DynamicMessage, name: &str) -> u64 {
    message.get_field_by_name(name).unwrap().as_u32().unwrap().into()
}

fn data_of(value: &Value) -> Bytes {
    value.as_bytes().cloned().unwrap_or_default()
}

fn headers(definition: &DynamicMessage, name: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for header in list(definition, name) {
        let header = header.as_message().unwrap().clone();
        let name = header.get_field_by_name("name").unwrap().as_str().unwrap().to_owned();
        for value in list(&header, "value") {
            let value = HeaderValue::from_str(value.as_str().unwrap()).unwrap();
            headers.append(HeaderName::try_from(&name).unwrap(), value);
        }
    }
    headers
}
