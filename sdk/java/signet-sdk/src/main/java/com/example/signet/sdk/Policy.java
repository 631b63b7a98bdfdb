package com.example.signet.sdk;

import com.google.protobuf.ByteString;
import com.google.protobuf.DescriptorProtos.FieldDescriptorProto;
import com.google.protobuf.DescriptorProtos.FileDescriptorProto;
import com.google.protobuf.DescriptorProtos.FileDescriptorSet;
import com.google.protobuf.DescriptorProtos.MethodDescriptorProto;
import com.google.protobuf.DescriptorProtos.ServiceDescriptorProto;
import com.google.protobuf.Descriptors.FileDescriptor;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.UnknownFieldSet;
import io.grpc.BindableService;
import io.grpc.MethodDescriptor;
import io.grpc.ServiceDescriptor;
import io.grpc.protobuf.ProtoFileDescriptorSupplier;
import io.grpc.protobuf.ProtoMethodDescriptorSupplier;
import java.io.IOException;
import java.io.InputStream;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;

/**
 * Who may call which method, as the option {@code (identity.v1.access)} on the RPCs declares it. Whatever declares nothing is denied to
 * everybody, and so is what declares something that this release does not understand.
 *
 * <p>The rules are read from descriptors: of the services that are served ({@link #of}), of generated code, or of a
 * {@code FileDescriptorSet} that {@code protoc} or {@code buf} has written.
 */
public final class Policy {
    private static final String OPTION_PACKAGE = "identity.v1";
    private static final String OPTION = "access";
    private static final String OPTION_TYPE = ".identity.v1.Access";
    private static final String METHOD_OPTIONS = ".google.protobuf.MethodOptions";

    private final Map<String, Access> methods;
    private final Set<String> publicServices;
    private final boolean readsServed;
    private final Map<String, Access> served = new ConcurrentHashMap<>();

    private Policy(Map<String, Access> methods, Set<String> publicServices, boolean readsServed) {
        this.methods = Map.copyOf(methods);
        this.publicServices = Set.copyOf(publicServices);
        this.readsServed = readsServed;
    }

    /**
     * The rules that the services declare.
     *
     * @param services the services that are served, of generated code
     * @return the policy
     * @throws IllegalArgumentException if a service has no descriptors, or its protos do not import {@code identity/v1/access.proto}
     */
    public static Policy of(BindableService... services) {
        Builder builder = builder();
        for (BindableService service : services) {
            builder.service(service.bindService().getServiceDescriptor());
        }
        return builder.build();
    }

    /**
     * A policy that reads each method's rule when it is called for the first time, from the descriptor that generated code gives to the
     * method. For frameworks that register the services themselves.
     *
     * @param publicServices full names of services that everybody may call, such as {@code grpc.health.v1.Health}
     * @return the policy
     */
    public static Policy ofServedWithPublic(String... publicServices) {
        Builder builder = builder();
        builder.readsServed = true;
        List.of(publicServices).forEach(builder::publicService);
        return builder.build();
    }

    /**
     * What makes a policy of several parts.
     *
     * @return an empty builder: a policy of it denies everything
     */
    public static Builder builder() {
        return new Builder();
    }

    /**
     * The methods that the policy knows by name.
     *
     * @return their paths, such as {@code /stock.v1.StockService/GetItem}
     */
    public Collection<String> methods() {
        return methods.keySet();
    }

    /** What the method at {@code path} declares; {@code method} is its descriptor, or null. */
    Access access(String path, MethodDescriptor<?, ?> method) {
        if (publicServices.contains(serviceOf(path))) {
            return Access.PUBLIC;
        }
        Access known = methods.get(path);
        if (known != null) {
            return known;
        }
        if (readsServed && method != null && method.getSchemaDescriptor() instanceof ProtoMethodDescriptorSupplier supplier) {
            return served.computeIfAbsent(path, it -> declared(supplier, it));
        }
        return Access.UNKNOWN;
    }

    private static String serviceOf(String path) {
        int slash = path.lastIndexOf('/');
        return slash > 0 ? path.substring(1, slash) : "";
    }

    private static Access declared(ProtoMethodDescriptorSupplier supplier, String path) {
        try {
            return builder().file(supplier.getMethodDescriptor().getFile()).build().methods.getOrDefault(path, Access.DENIED);
        } catch (IllegalArgumentException withoutOption) {
            return Access.DENIED;
        }
    }

    /** Makes a {@link Policy}. */
    public static final class Builder {
        private final Map<String, Access> methods = new HashMap<>();
        private final Set<String> publicServices = new HashSet<>();
        private boolean readsServed;

        private Builder() {}

        /**
         * Adds what a service declares.
         *
         * @param service its descriptor, of generated code
         * @return this
         * @throws IllegalArgumentException if it has no descriptor of its proto, or that does not import {@code identity/v1/access.proto}
         */
        public Builder service(ServiceDescriptor service) {
            if (!(service.getSchemaDescriptor() instanceof ProtoFileDescriptorSupplier supplier)) {
                throw new IllegalArgumentException(service.getName() + " has no descriptor of its proto: give a descriptor set");
            }
            return file(supplier.getFileDescriptor());
        }

        /**
         * Adds what the services of a file declare.
         *
         * @param file its descriptor, of generated code
         * @return this
         * @throws IllegalArgumentException if the file does not import {@code identity/v1/access.proto}
         */
        public Builder file(FileDescriptor file) {
            Map<String, FileDescriptorProto> files = new LinkedHashMap<>();
            collect(file, files);
            int number = optionNumber(files.values());
            return add(files.get(file.getFullName()), number);
        }

        /**
         * Adds what the services of an encoded {@code google.protobuf.FileDescriptorSet} declare.
         *
         * @param encoded its bytes, with what is imported ({@code protoc --include_imports})
         * @return this
         * @throws IllegalArgumentException if it cannot be read, or does not define the option {@code identity.v1.access}
         */
        public Builder descriptorSet(byte[] encoded) {
            FileDescriptorSet set;
            try {
                set = FileDescriptorSet.parseFrom(encoded);
            } catch (InvalidProtocolBufferException malformed) {
                throw new IllegalArgumentException("the bytes are not a descriptor set", malformed);
            }
            int number = optionNumber(set.getFileList());
            set.getFileList().forEach(file -> add(file, number));
            return this;
        }

        /**
         * The same of a file or a resource, which is read to its end and closed.
         *
         * @param encoded the descriptor set
         * @return this
         * @throws IOException if it cannot be read
         * @throws IllegalArgumentException as {@link #descriptorSet(byte[])}
         */
        public Builder descriptorSet(InputStream encoded) throws IOException {
            try (encoded) {
                return descriptorSet(encoded.readAllBytes());
            }
        }

        /**
         * Lets everybody call all methods of a service that cannot be annotated, such as health and reflection.
         *
         * @param name its full name, such as {@code grpc.health.v1.Health}
         * @return this
         */
        public Builder publicService(String name) {
            publicServices.add(name);
            return this;
        }

        /**
         * Makes the policy.
         *
         * @return the policy
         */
        public Policy build() {
            return new Policy(methods, publicServices, readsServed);
        }

        private Builder add(FileDescriptorProto file, int number) {
            for (ServiceDescriptorProto service : file.getServiceList()) {
                String name = file.getPackage().isEmpty() ? service.getName() : file.getPackage() + "." + service.getName();
                for (MethodDescriptorProto method : service.getMethodList()) {
                    // Of two declarations that differ it is not known which one is meant.
                    methods.merge("/" + name + "/" + method.getName(), declared(method, number),
                            (one, other) -> one.equals(other) ? one : Access.DENIED);
                }
            }
            return this;
        }
    }

    private static void collect(FileDescriptor file, Map<String, FileDescriptorProto> files) {
        if (files.containsKey(file.getFullName())) {
            return;
        }
        try {
            // Parsed anew, without extensions, so that the bytes of the option are at hand.
            files.put(file.getFullName(), FileDescriptorProto.parseFrom(file.toProto().toByteString()));
        } catch (InvalidProtocolBufferException impossible) {
            throw new IllegalArgumentException(file.getFullName() + " cannot be read", impossible);
        }
        file.getDependencies().forEach(dependency -> collect(dependency, files));
    }

    /** The number of the option in the files: the one that they define themselves. */
    private static int optionNumber(Collection<FileDescriptorProto> files) {
        List<FieldDescriptorProto> defined = new ArrayList<>();
        for (FileDescriptorProto file : files) {
            if (file.getPackage().equals(OPTION_PACKAGE)) {
                file.getExtensionList().stream().filter(it -> it.getName().equals(OPTION)).forEach(defined::add);
            }
        }
        boolean isTheOption = defined.size() == 1
                && defined.get(0).getExtendee().equals(METHOD_OPTIONS)
                && defined.get(0).getTypeName().equals(OPTION_TYPE)
                && defined.get(0).getLabel() == FieldDescriptorProto.Label.LABEL_OPTIONAL;
        if (!isTheOption) {
            throw new IllegalArgumentException("the descriptors do not define the method option identity.v1.access: import"
                    + " identity/v1/access.proto, and write descriptor sets with their imports");
        }
        return defined.get(0).getNumber();
    }

    private static Access declared(MethodDescriptorProto method, int number) {
        UnknownFieldSet options = method.getOptions().getUnknownFields();
        if (!options.hasField(number)) {
            return Access.DENIED;
        }
        UnknownFieldSet.Field option = options.getField(number);
        boolean isMessage = option.getVarintList().isEmpty() && option.getFixed32List().isEmpty()
                && option.getFixed64List().isEmpty() && option.getGroupList().isEmpty();
        // What stands more than once is merged, which is to read all of it one after the other.
        return isMessage ? Access.read(ByteString.copyFrom(option.getLengthDelimitedList())) : Access.DENIED;
    }
}
