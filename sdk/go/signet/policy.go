package signet

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
)

// This file owns who may call which method, as descriptors declare it: the default is to deny.

// accessOption is the name of the method option that declares access. It is found by its name, never by its number.
const accessOption = "identity.v1.access"

// methodOptions is what the option extends.
const methodOptions = "google.protobuf.MethodOptions"

// ErrNoAccessOption is why a policy cannot be made: the descriptors do not define the option identity.v1.access. Import
// identity/v1/access.proto, and for a descriptor set include imports (`buf build`, `protoc --include_imports`).
var ErrNoAccessOption = errors.New("signet: the descriptors do not define the method option " + accessOption)

// Policy says who may call which method, by the method's path `/package.Service/Method`. It is never changed once it is made.
type Policy struct {
	methods  map[string]declaration
	services map[string]bool // public ones, by name
}

// PolicyOption is an option of the functions that make a [Policy].
type PolicyOption func(*Policy)

// PublicService makes all methods of a service public, by its full name: for services that cannot be annotated, such as
// `grpc.health.v1.Health` and `grpc.reflection.v1.ServerReflection`. None is by itself.
func PublicService(name string) PolicyOption {
	return func(p *Policy) { p.services[name] = true }
}

// PolicyFromRegistry reads the rules of all services whose generated code is linked into the program (protoregistry.GlobalFiles).
//
// It fails with [ErrNoAccessOption].
func PolicyFromRegistry(options ...PolicyOption) (*Policy, error) {
	return PolicyFromFiles(protoregistry.GlobalFiles, options...)
}

// PolicyFromFiles reads the rules of all services of a registry.
//
// It fails with [ErrNoAccessOption].
func PolicyFromFiles(files *protoregistry.Files, options ...PolicyOption) (*Policy, error) {
	found, err := files.FindDescriptorByName(accessOption)
	extension, ok := found.(protoreflect.ExtensionDescriptor)
	if err != nil || !ok || extension.ContainingMessage().FullName() != methodOptions {
		return nil, ErrNoAccessOption
	}
	policy := newPolicy(options)
	files.RangeFiles(func(file protoreflect.FileDescriptor) bool {
		services := file.Services()
		for i := range services.Len() {
			methods := services.Get(i).Methods()
			for j := range methods.Len() {
				method := methods.Get(j)
				// The bytes, since the generated code may know fewer fields than the rule has: those stay in its unknown fields.
				var encoded []byte
				if encoded, err = proto.Marshal(method.Options()); err != nil {
					err = fmt.Errorf("signet: the options of %s cannot be read: %w", method.FullName(), err)
					return false
				}
				path := "/" + string(method.Parent().FullName()) + "/" + string(method.Name())
				policy.methods[path] = declared(encoded, extension.Number())
			}
		}
		return true
	})
	if err != nil {
		return nil, err
	}
	return policy, nil
}

// PolicyFromDescriptorSet reads the rules of all services in an encoded google.protobuf.FileDescriptorSet, such as `buf build -o` writes,
// with its imports.
//
// It fails if the bytes are no descriptor set, if the set is not complete, if it has two methods of one path, and with [ErrNoAccessOption].
func PolicyFromDescriptorSet(encoded []byte, options ...PolicyOption) (*Policy, error) {
	set := &descriptorpb.FileDescriptorSet{}
	// No extension is known to this reader, so that each option keeps the bytes that it has, whatever they are.
	raw := proto.UnmarshalOptions{Resolver: new(protoregistry.Types), AllowPartial: true}
	if err := raw.Unmarshal(encoded, set); err != nil {
		return nil, fmt.Errorf("signet: the descriptor set cannot be read: %w", err)
	}
	number, err := accessNumber(set)
	if err != nil {
		return nil, err
	}
	policy := newPolicy(options)
	for _, file := range set.GetFile() {
		for _, service := range file.GetService() {
			name := protoreflect.FullName(service.GetName())
			if file.GetPackage() != "" {
				name = protoreflect.FullName(file.GetPackage()).Append(protoreflect.Name(service.GetName()))
			}
			for _, method := range service.GetMethod() {
				path := "/" + string(name) + "/" + method.GetName()
				if _, found := policy.methods[path]; found {
					return nil, fmt.Errorf("signet: the descriptor set has two methods %s", path)
				}
				encoded, err := proto.Marshal(method.GetOptions())
				if err != nil {
					return nil, fmt.Errorf("signet: the options of %s cannot be read: %w", path, err)
				}
				policy.methods[path] = declared(encoded, number)
			}
		}
	}
	return policy, nil
}

// Access says who may call a method, by its path, and by which rule if that is [AccessAuthenticated].
func (p *Policy) Access(method string) (Access, *Rule) {
	found := p.declaration(method)
	if found.rule == nil {
		return found.access, nil
	}
	rule := *found.rule
	rule.RequiredScopes, rule.AnyScopes = slices.Clone(rule.RequiredScopes), slices.Clone(rule.AnyScopes)
	rule.AnyRoles = slices.Clone(rule.AnyRoles)
	return found.access, &rule
}

func (p *Policy) declaration(method string) declaration {
	if len(p.services) > 0 {
		// A path of more parts is no method of the service, whatever serves it (grpc.UnknownServiceHandler).
		service, name, _ := strings.Cut(strings.TrimPrefix(method, "/"), "/")
		if method == "/"+service+"/"+name && name != "" && !strings.Contains(name, "/") && p.services[service] {
			return declaration{access: AccessPublic}
		}
	}
	return p.methods[method] // AccessUndeclared, if the policy does not know it
}

func newPolicy(options []PolicyOption) *Policy {
	policy := &Policy{methods: make(map[string]declaration), services: make(map[string]bool)}
	for _, option := range options {
		option(policy)
	}
	return policy
}

// accessNumber is the number of the option, by the set's own definition.
func accessNumber(set *descriptorpb.FileDescriptorSet) (protowire.Number, error) {
	known := make(map[string]bool, len(set.GetFile()))
	for _, file := range set.GetFile() {
		known[file.GetName()] = true
	}
	number := protowire.Number(0)
	for _, file := range set.GetFile() {
		for _, dependency := range file.GetDependency() {
			if !known[dependency] {
				return 0, fmt.Errorf("signet: the descriptor set lacks %s, which %s imports", dependency, file.GetName())
			}
		}
		for _, extension := range file.GetExtension() {
			name := file.GetPackage() + "." + extension.GetName()
			if name != accessOption || strings.TrimPrefix(extension.GetExtendee(), ".") != methodOptions {
				continue
			}
			if number != 0 {
				return 0, errors.New("signet: the descriptor set defines the method option " + accessOption + " twice")
			}
			number = protowire.Number(extension.GetNumber())
		}
	}
	if !number.IsValid() {
		return 0, ErrNoAccessOption
	}
	return number, nil
}

// declared reads the option with the number from the bytes of a method's options.
func declared(options []byte, number protowire.Number) declaration {
	var encoded []byte
	isDeclared := false
	isRead := eachField(options, func(found protowire.Number, kind protowire.Type, _ uint64, value []byte) bool {
		if found != number {
			return true
		}
		isDeclared = true
		encoded = append(encoded, value...) // What comes in pieces is the sum of them.
		return kind == protowire.BytesType
	})
	switch {
	case !isRead:
		return declaration{access: AccessNotUnderstood}
	case !isDeclared:
		return declaration{access: AccessUndeclared}
	default:
		return readDeclaration(encoded)
	}
}
