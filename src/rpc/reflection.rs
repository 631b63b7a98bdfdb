//! Owns reflection: which services there are, and the files that describe them and their options.
//!
//! What tonic has for it tells nothing of extensions, so that a client without the proto could not read the option `access`.

use std::{
    collections::{BTreeMap, HashMap},
    future::ready,
    sync::{Arc, OnceLock},
};

use futures_util::stream::{BoxStream, StreamExt};
use prost::Message;
use prost_reflect::{DescriptorPool, EnumDescriptor, ExtensionDescriptor, FileDescriptor, MessageDescriptor};
use tonic::{Code, Request, Response, Status, Streaming};
use tonic_reflection::pb::{
    v1::{
        self, ErrorResponse, ExtensionNumberResponse, FileDescriptorResponse, ListServiceResponse,
        ServerReflectionRequest, ServerReflectionResponse, ServiceResponse,
        server_reflection_request::MessageRequest as Asked,
        server_reflection_response::MessageResponse as Told,
    },
    v1alpha,
};

use super::framework_errors;
use crate::model::Error;

/// Serves both versions of `ServerReflection`, which have the same fields on the wire.
#[derive(Clone, Debug)]
pub(crate) struct ReflectionRpc {
    sources: Arc<Sources>,
    max_message_bytes: usize,
}

/// What is told, and what it is made of when the first asks: most services go without reflection all their life.
#[derive(Debug)]
struct Sources {
    services: Vec<String>,
    pools: Vec<DescriptorPool>,
    described: OnceLock<Described>,
}

/// What is told.
#[derive(Debug, Default)]
struct Described {
    /// The services that are listed.
    services: Vec<String>,
    /// The encoded files.
    files: Vec<Vec<u8>>,
    /// Which of the files has this name.
    by_name: HashMap<String, usize>,
    /// Which of them says what this is, by its full name.
    by_symbol: HashMap<String, usize>,
    /// Which of them extends this message by a field of this number.
    extensions: HashMap<String, BTreeMap<i32, usize>>,
}

impl ReflectionRpc {
    /// Lists `services`, and tells what the `pools` say, to questions of `max_message_bytes` at most.
    pub(crate) fn new(
        services: impl Iterator<Item = &'static str>,
        pools: Vec<DescriptorPool>,
        max_message_bytes: usize,
    ) -> Self {
        let services = services.map(str::to_owned).collect();
        let sources = Sources { services, pools, described: OnceLock::new() };
        Self { sources: Arc::new(sources), max_message_bytes }
    }

    /// The answers to what is `asked`. What cannot be read ends them.
    fn answers<Asked: Send + 'static, Told: Send + 'static>(
        &self,
        asked: Streaming<Asked>,
        answer: fn(&Described, Asked) -> Result<Told, Status>,
    ) -> Response<BoxStream<'static, Result<Told, Status>>> {
        let (sources, max_message_bytes) = (Arc::clone(&self.sources), self.max_message_bytes);
        let answers = asked.filter_map(move |asked| {
            ready(match asked {
                Ok(asked) => Some(answer(sources.described(), asked)),
                Err(status) => framework_errors::error_of(&status, max_message_bytes)
                    .map(|error| Err(Status::from(error))),
            })
        });
        Response::new(answers.boxed())
    }
}

impl Sources {
    fn described(&self) -> &Described {
        self.described.get_or_init(|| {
            let mut described = Described { services: self.services.clone(), ..Described::default() };
            for file in self.pools.iter().flat_map(DescriptorPool::files) {
                described.add(&file);
            }
            described
        })
    }
}

impl Described {
    fn add(&mut self, file: &FileDescriptor) {
        // Several sets have the files that many import.
        if self.by_name.contains_key(file.name()) {
            return;
        }
        let at = self.files.len();
        self.files.push(file.encode_to_vec());
        self.by_name.insert(file.name().to_owned(), at);
        for service in file.services() {
            self.symbol(service.full_name(), at);
            for method in service.methods() {
                self.symbol(method.full_name(), at);
            }
        }
        file.messages().for_each(|message| self.message(&message, at));
        file.enums().for_each(|enumeration| self.enumeration(&enumeration, at));
        file.extensions().for_each(|extension| self.extension(&extension, at));
    }

    fn message(&mut self, message: &MessageDescriptor, at: usize) {
        self.symbol(message.full_name(), at);
        message.fields().for_each(|field| self.symbol(field.full_name(), at));
        message.oneofs().for_each(|oneof| self.symbol(oneof.full_name(), at));
        message.child_messages().for_each(|child| self.message(&child, at));
        message.child_enums().for_each(|child| self.enumeration(&child, at));
        message.child_extensions().for_each(|child| self.extension(&child, at));
    }

    fn enumeration(&mut self, enumeration: &EnumDescriptor, at: usize) {
        self.symbol(enumeration.full_name(), at);
        enumeration.values().for_each(|value| self.symbol(value.full_name(), at));
    }

    fn extension(&mut self, extension: &ExtensionDescriptor, at: usize) {
        self.symbol(extension.full_name(), at);
        if let Ok(number) = i32::try_from(extension.number()) {
            let extended = extension.containing_message().full_name().to_owned();
            self.extensions.entry(extended).or_default().insert(number, at);
        }
    }

    fn symbol(&mut self, full_name: &str, at: usize) {
        self.by_symbol.insert(full_name.to_owned(), at);
    }

    fn answer(&self, asked: ServerReflectionRequest) -> ServerReflectionResponse {
        let told = match &asked.message_request {
            Some(Asked::ListServices(_)) => self.list(),
            Some(Asked::FileByFilename(name)) => self.file(self.by_name.get(name), "file of this name"),
            Some(Asked::FileContainingSymbol(symbol)) => {
                self.file(self.by_symbol.get(symbol), "symbol of this name")
            }
            Some(Asked::FileContainingExtension(asked)) => {
                let of_type = self.extensions.get(&asked.containing_type);
                self.file(of_type.and_then(|all| all.get(&asked.extension_number)), "such extension")
            }
            Some(Asked::AllExtensionNumbersOfType(name)) => self.extension_numbers(name),
            None => refusal(Code::InvalidArgument, "the request asks for nothing"),
        };
        ServerReflectionResponse {
            valid_host: asked.host.clone(),
            original_request: Some(asked),
            message_response: Some(told),
        }
    }

    fn list(&self) -> Told {
        let service = self.services.iter().map(|name| ServiceResponse { name: name.clone() });
        Told::ListServicesResponse(ListServiceResponse { service: service.collect() })
    }

    /// The file, or that there is no `what`. What it imports is asked for by its name.
    fn file(&self, at: Option<&usize>, what: &str) -> Told {
        match at.and_then(|at| self.files.get(*at)) {
            Some(file) => {
                let file_descriptor_proto = vec![file.clone()];
                Told::FileDescriptorResponse(FileDescriptorResponse { file_descriptor_proto })
            }
            None => refusal(Code::NotFound, &format!("there is no {what}")),
        }
    }

    fn extension_numbers(&self, message: &str) -> Told {
        if !self.by_symbol.contains_key(message) {
            return refusal(Code::NotFound, "there is no message of this name");
        }
        let numbers = self.extensions.get(message).into_iter().flatten();
        Told::AllExtensionNumbersResponse(ExtensionNumberResponse {
            base_type_name: message.to_owned(),
            extension_number: numbers.map(|(number, _)| *number).collect(),
        })
    }
}

/// The refusal of one question, after which the next one can be asked.
fn refusal(code: Code, sentence: &str) -> Told {
    Told::ErrorResponse(ErrorResponse { error_code: code.into(), error_message: sentence.to_owned() })
}

/// `message` in the other version of the protocol.
fn recoded<Other: Message + Default>(message: &impl Message) -> Result<Other, Status> {
    Other::decode(&*message.encode_to_vec()).map_err(|error| Status::from(Error::internal(error)))
}

#[tonic::async_trait]
impl v1::server_reflection_server::ServerReflection for ReflectionRpc {
    type ServerReflectionInfoStream = BoxStream<'static, Result<ServerReflectionResponse, Status>>;

    async fn server_reflection_info(
        &self,
        request: Request<Streaming<ServerReflectionRequest>>,
    ) -> Result<Response<Self::ServerReflectionInfoStream>, Status> {
        Ok(self.answers(request.into_inner(), |described, asked| Ok(described.answer(asked))))
    }
}

#[tonic::async_trait]
impl v1alpha::server_reflection_server::ServerReflection for ReflectionRpc {
    type ServerReflectionInfoStream = BoxStream<'static, Result<v1alpha::ServerReflectionResponse, Status>>;

    async fn server_reflection_info(
        &self,
        request: Request<Streaming<v1alpha::ServerReflectionRequest>>,
    ) -> Result<Response<Self::ServerReflectionInfoStream>, Status> {
        Ok(self
            .answers(request.into_inner(), |described, asked| recoded(&described.answer(recoded(&asked)?))))
    }
}
