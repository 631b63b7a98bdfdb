# frozen_string_literal: true

# Signs a user up with stubs alone, reads from a refusal which field is at fault and why, logs in, and asks who that is.
#
# README.md (Stubs) has the command that makes the stubs. Then: ruby -I gen examples/stubs/ruby/sign_up.rb USERNAME
# SIGNET_GRPC_ADDR says where Signet is: 127.0.0.1:50051 if it is not set.

require 'google/protobuf/well_known_types'
require 'google/rpc/error_details_pb'
require 'grpc'
require 'identity/v1/identity_service_services_pb'

# Stubs of the proto's names stand below the module that its ruby_package says.
V1 = Example::Signet::Identity::V1

# The details of a refusal, by their types: ErrorInfo, BadRequest, RetryInfo.
def details(refusal)
  status = refusal.to_rpc_status
  return {} unless status

  types = [Google::Rpc::ErrorInfo, Google::Rpc::BadRequest, Google::Rpc::RetryInfo]
  status.details.filter_map do |detail|
    type = types.find { |type| detail.is(type) }
    [type, detail.unpack(type)] if type
  end.to_h
end

def explain(refusal)
  found = details(refusal)
  puts "#{refusal.class.name.split('::').last} #{found[Google::Rpc::ErrorInfo]&.reason}: #{refusal.details}"
  found[Google::Rpc::BadRequest]&.field_violations&.each do |violation|
    # Debian's googleapis-common-protos-types is older than FieldViolation.reason: there it is among the unknown fields.
    reason = violation.respond_to?(:reason) ? " #{violation.reason}" : ''
    puts "  #{violation.field}:#{reason} #{violation.description}"
  end
end

username = ARGV.fetch(0) { abort 'usage: sign_up.rb USERNAME' }
signet = V1::IdentityService::Stub.new(ENV.fetch('SIGNET_GRPC_ADDR', '127.0.0.1:50051'), :this_channel_is_insecure)

begin
  signet.sign_up(V1::SignUpRequest.new(username:, password: 'short'))
rescue GRPC::BadStatus => e
  explain(e)
end

password = 'correct horse battery'
signet.sign_up(V1::SignUpRequest.new(username:, password:))
issued = signet.issue_token(V1::IssueTokenRequest.new(password: V1::PasswordGrant.new(username:, password:)))
me = signet.get_me(V1::GetMeRequest.new, metadata: { 'authorization' => "Bearer #{issued.access_token}" })
puts "#{me.user.username} #{me.user.id}"
