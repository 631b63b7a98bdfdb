package signet_test

import (
	"errors"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"

	"example.com/signet/sdk/go/signet"
)

// This file owns the tests of where rules are read from.

func TestTheRegistryAndADescriptorSetSayTheSame(t *testing.T) {
	fromRegistry, err := signet.PolicyFromRegistry()
	if err != nil {
		t.Fatal(err)
	}
	set := &descriptorpb.FileDescriptorSet{}
	var methods []string
	protoregistry.GlobalFiles.RangeFiles(func(file protoreflect.FileDescriptor) bool {
		set.File = append(set.File, protodesc.ToFileDescriptorProto(file))
		for i := range file.Services().Len() {
			service := file.Services().Get(i)
			for j := range service.Methods().Len() {
				methods = append(methods, "/"+string(service.FullName())+"/"+string(service.Methods().Get(j).Name()))
			}
		}
		return true
	})
	encoded, err := proto.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	fromSet, err := signet.PolicyFromDescriptorSet(encoded)
	if err != nil {
		t.Fatal(err)
	}
	declared := 0
	for _, method := range methods {
		one, rule := fromRegistry.Access(method)
		other, otherRule := fromSet.Access(method)
		if one != other || (rule == nil) != (otherRule == nil) {
			t.Errorf("%s: %v and %v", method, one, other)
		}
		if rule != nil && len(rule.RequiredScopes) > 0 && rule.RequiredScopes[0] != otherRule.RequiredScopes[0] {
			t.Errorf("%s: %v and %v", method, rule, otherRule)
		}
		if one != signet.AccessUndeclared {
			declared++
		}
	}
	if declared < 10 {
		t.Errorf("%d methods declare something", declared)
	}
}

func TestDescriptorsWithoutTheOptionMakeNoPolicy(t *testing.T) {
	if _, err := signet.PolicyFromFiles(new(protoregistry.Files)); !errors.Is(err, signet.ErrNoAccessOption) {
		t.Error(err)
	}
	if _, err := signet.PolicyFromDescriptorSet(nil); !errors.Is(err, signet.ErrNoAccessOption) {
		t.Error(err)
	}
}

func TestARuleCannotBeChangedThroughWhatIsToldOfIt(t *testing.T) {
	policy, err := signet.PolicyFromRegistry()
	if err != nil {
		t.Fatal(err)
	}
	const method = "/identity.v1.IdentityService/GetMe"
	_, rule := policy.Access(method)
	rule.RequiredScopes[0] = "nothing"
	if _, again := policy.Access(method); again.RequiredScopes[0] != "profile" {
		t.Error(again)
	}
}

func TestAPublicServiceHasMethodsAndNoPathsBelowThem(t *testing.T) {
	policy, err := signet.PolicyFromRegistry(signet.PublicService("grpc.health.v1.Health"))
	if err != nil {
		t.Fatal(err)
	}
	for method, want := range map[string]signet.Access{
		"/grpc.health.v1.Health/Check": signet.AccessPublic, "/grpc.health.v1.Health/NotKnown": signet.AccessPublic,
		"/grpc.health.v1.Health/x/y": signet.AccessUndeclared, "/grpc.health.v1.Health/": signet.AccessUndeclared,
		"grpc.health.v1.Health/Check": signet.AccessUndeclared, "//grpc.health.v1.Health/Check": signet.AccessUndeclared,
		"/grpc.health.v1.Health": signet.AccessUndeclared, "": signet.AccessUndeclared,
	} {
		if access, _ := policy.Access(method); access != want {
			t.Errorf("%q: %v", method, access)
		}
	}
}
