// Signs a user up with stubs alone, reads from a refusal which field is at fault and why, logs in, and asks who that is.
//
// README.md (Stubs) has the command that makes the stubs. Then:
//
//     g++ -std=c++17 -I gen examples/stubs/cpp/sign_up.cc $(find gen -name '*.cc') -o sign_up $(pkg-config --cflags --libs grpc++ protobuf)
//     ./sign_up USERNAME
//
// SIGNET_GRPC_ADDR says where Signet is: 127.0.0.1:50051 if it is not set.
#include <grpcpp/grpcpp.h>

#include <cstdlib>
#include <iostream>
#include <memory>
#include <string>

#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "identity/v1/identity_service.grpc.pb.h"

namespace v1 = identity::v1;

namespace {

// Prints why a call was refused: the stable reason, and the fields at fault.
void Explain(const grpc::Status& refusal) {
  google::rpc::Status status;
  std::string reason;
  google::rpc::BadRequest fields;
  if (status.ParseFromString(refusal.error_details())) {
    for (const auto& detail : status.details()) {
      google::rpc::ErrorInfo info;
      if (detail.UnpackTo(&info)) reason = info.reason();
      detail.UnpackTo(&fields);
    }
  }
  std::cout << refusal.error_code() << " " << reason << ": " << refusal.error_message() << "\n";
  for (const auto& violation : fields.field_violations()) {
    std::cout << "  " << violation.field() << ": " << violation.reason() << " " << violation.description() << "\n";
  }
}

int Fail(const grpc::Status& refusal) {
  Explain(refusal);
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "usage: sign_up USERNAME\n";
    return 2;
  }
  const char* set = std::getenv("SIGNET_GRPC_ADDR");
  const std::string addr = set != nullptr ? set : "127.0.0.1:50051";
  auto signet = v1::IdentityService::NewStub(grpc::CreateChannel(addr, grpc::InsecureChannelCredentials()));

  v1::SignUpRequest sign_up;
  sign_up.set_username(argv[1]);
  sign_up.set_password("short");
  v1::SignUpResponse signed_up;
  {
    grpc::ClientContext context;
    const grpc::Status refusal = signet->SignUp(&context, sign_up, &signed_up);
    if (!refusal.ok()) Explain(refusal);
  }
  sign_up.set_password("correct horse battery");
  {
    grpc::ClientContext context;
    const grpc::Status status = signet->SignUp(&context, sign_up, &signed_up);
    if (!status.ok()) return Fail(status);
  }
  v1::IssueTokenRequest log_in;
  log_in.mutable_password()->set_username(sign_up.username());
  log_in.mutable_password()->set_password(sign_up.password());
  v1::IssueTokenResponse issued;
  {
    grpc::ClientContext context;
    const grpc::Status status = signet->IssueToken(&context, log_in, &issued);
    if (!status.ok()) return Fail(status);
  }
  v1::GetMeResponse me;
  grpc::ClientContext context;
  context.AddMetadata("authorization", "Bearer " + issued.access_token());
  const grpc::Status status = signet->GetMe(&context, v1::GetMeRequest(), &me);
  if (!status.ok()) return Fail(status);
  std::cout << me.user().username() << " " << me.user().id() << "\n";
}
