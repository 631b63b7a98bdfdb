//! Owns what reflection tells of services: their files by name, by what is in them and by what they extend, in both versions.

use futures_util::{StreamExt, stream};
use prost_types::FileDescriptorProto;
use signet::proto::identity::v1::ErrorReason;
use tonic::Code;
use tonic_reflection::pb::{
    v1::{
        ExtensionRequest, ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
        server_reflection_request::MessageRequest as Asked,
        server_reflection_response::MessageResponse as Told,
    },
    v1alpha,
};

use crate::harness::TestServer;

/// The option by which an RPC says who may call it.
const ACCESS: &str = "identity.v1.access";
const METHOD_OPTIONS: &str = "google.protobuf.MethodOptions";

fn asks(asked: Asked) -> ServerReflectionRequest {
    ServerReflectionRequest { host: "signet.example".to_owned(), message_request: Some(asked) }
}

/// What is told of all that is `asked`, on one stream.
async fn told(server: &TestServer, asked: Vec<ServerReflectionRequest>) -> Vec<Told> {
    let mut client = ServerReflectionClient::new(server.channel().await).max_decoding_message_size(4 << 20);
    let answers = client.server_reflection_info(stream::iter(asked.clone())).await.unwrap().into_inner();
    let answers: Vec<_> = answers.map(Result::unwrap).collect().await;
    let (mut told, mut echoed) = (Vec::new(), Vec::new());
    for answer in answers {
        assert_eq!(answer.valid_host, "signet.example");
        told.push(answer.message_response.unwrap());
        echoed.push(answer.original_request.unwrap());
    }
    assert_eq!(echoed, asked);
    told
}

/// The name of the file that is told; the code, if there is none.
fn file(told: &Told) -> Result<String, Code> {
    match told {
        Told::FileDescriptorResponse(answer) => {
            let file: FileDescriptorProto =
                prost::Message::decode(&*answer.file_descriptor_proto[0]).unwrap();
            Ok(file.name().to_owned())
        }
        Told::ErrorResponse(refusal) => Err(refusal.error_code.into()),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn files_are_found_by_name_by_what_is_in_them_and_by_what_they_extend() {
    let server = TestServer::start(&[]).await;
    let extension = |containing_type: &str, extension_number| {
        let containing_type = containing_type.to_owned();
        asks(Asked::FileContainingExtension(ExtensionRequest { containing_type, extension_number }))
    };
    let numbers = asks(Asked::AllExtensionNumbersOfType(METHOD_OPTIONS.to_owned()));
    let Told::AllExtensionNumbersResponse(numbers) = told(&server, vec![numbers]).await.remove(0) else {
        panic!("the numbers are told");
    };
    assert_eq!(numbers.base_type_name, METHOD_OPTIONS);
    let of_option: Vec<_> =
        numbers.extension_number.iter().map(|number| extension(METHOD_OPTIONS, *number)).collect();
    let files: Vec<_> = told(&server, of_option).await.iter().map(file).collect();
    assert!(files.contains(&Ok("identity/v1/access.proto".to_owned())), "{files:?}");

    let symbol = |name: &str| asks(Asked::FileContainingSymbol(name.to_owned()));
    let access = Ok("identity/v1/access.proto");
    let service = Ok("identity/v1/identity_service.proto");
    let reason = format!("identity.v1.{}", ErrorReason::UsernameTaken.as_str_name());
    let table = [
        (
            asks(Asked::FileByFilename("google/rpc/error_details.proto".to_owned())),
            Ok("google/rpc/error_details.proto"),
        ),
        (symbol(ACCESS), access),
        (symbol("identity.v1.IdentityService"), service),
        (symbol("identity.v1.IdentityService.GetMe"), service),
        (symbol("identity.v1.SignUpRequest"), service),
        (symbol("identity.v1.SignUpRequest.username"), service),
        (symbol("identity.v1.IssueTokenRequest.grant"), service),
        (symbol(&reason), Ok("identity/v1/error_reason.proto")),
        (symbol("google.rpc.ErrorInfo"), Ok("google/rpc/error_details.proto")),
        // One that is not there has none of the others go unanswered.
        (symbol("identity.v1.NoSuchService"), Err(Code::NotFound)),
        (symbol("identity.v1.SignUpRequest.nothing"), Err(Code::NotFound)),
        (asks(Asked::FileByFilename("identity/v1/nothing.proto".to_owned())), Err(Code::NotFound)),
        (extension(METHOD_OPTIONS, 1), Err(Code::NotFound)),
        (extension("identity.v1.User", 50_051), Err(Code::NotFound)),
        (asks(Asked::AllExtensionNumbersOfType("identity.v1.Nothing".to_owned())), Err(Code::NotFound)),
        (ServerReflectionRequest { message_request: None, ..symbol("") }, Err(Code::InvalidArgument)),
        (symbol("identity.v1.TokenService"), Ok("identity/v1/token_service.proto")),
    ];
    let (asked, expected): (Vec<_>, Vec<_>) = table.into_iter().unzip();
    let answers = told(&server, asked.clone()).await;
    assert_eq!(answers.len(), expected.len());
    for ((answer, expected), asked) in answers.iter().zip(expected).zip(asked) {
        assert_eq!(file(answer), expected.map(str::to_owned), "{asked:?}");
    }
    let nothing = asks(Asked::AllExtensionNumbersOfType("identity.v1.User".to_owned()));
    let Told::AllExtensionNumbersResponse(numbers) = told(&server, vec![nothing]).await.remove(0) else {
        panic!("a message without extensions has none");
    };
    assert!(numbers.extension_number.is_empty());
}

#[tokio::test]
async fn the_older_version_of_the_protocol_is_told_the_same() {
    let server = TestServer::start(&[]).await;
    let asked = v1alpha::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(v1alpha::server_reflection_request::MessageRequest::FileContainingSymbol(
            ACCESS.to_owned(),
        )),
    };
    let mut client = v1alpha::server_reflection_client::ServerReflectionClient::new(server.channel().await);
    let mut answers =
        client.server_reflection_info(stream::iter([asked.clone()])).await.unwrap().into_inner();
    let answer = answers.message().await.unwrap().unwrap();
    assert_eq!(answer.original_request, Some(asked));
    let Some(v1alpha::server_reflection_response::MessageResponse::FileDescriptorResponse(older)) =
        answer.message_response
    else {
        panic!("a file is told");
    };
    let newer = told(&server, vec![asks(Asked::FileContainingSymbol(ACCESS.to_owned()))]).await.remove(0);
    let Told::FileDescriptorResponse(newer) = newer else { panic!("{newer:?}") };
    assert_eq!(older.file_descriptor_proto, newer.file_descriptor_proto);
}
