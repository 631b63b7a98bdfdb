package com.example.signet.sdk;

import io.grpc.CallCredentials;
import io.grpc.Grpc;
import io.grpc.SecurityLevel;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.SocketAddress;
import java.net.UnknownHostException;
import java.util.Locale;
import java.util.regex.Pattern;

/** What addresses of gRPC mean: which are loopback ones, and which two are the same. */
final class Addresses {
    private static final Pattern LITERAL = Pattern.compile("[0-9.]+|\\[[0-9a-fA-F:.]+]");

    private Addresses() {}

    /** The authority of a target, such as {@code host:port} of {@code dns:///host:port}, in lower case. */
    static String authority(String target) {
        return target.substring(target.lastIndexOf('/') + 1).toLowerCase(Locale.ROOT);
    }

    /** Whether the host of {@code target} is this machine by its very name: an address of it, or {@code localhost}. */
    static boolean isLoopback(String target) {
        String authority = authority(target);
        int colon = authority.lastIndexOf(':');
        String host = colon > authority.lastIndexOf(']') ? authority.substring(0, colon) : authority;
        if (host.equals("localhost")) {
            return true;
        }
        try {
            return LITERAL.matcher(host).matches() && InetAddress.getByName(host).isLoopbackAddress();
        } catch (UnknownHostException malformed) {
            return false;
        }
    }

    /** Whether nobody on the way can read the call. */
    static boolean isSecure(CallCredentials.RequestInfo call) {
        return call.getSecurityLevel() == SecurityLevel.PRIVACY_AND_INTEGRITY;
    }

    /**
     * Whether the call goes to this machine, by the address of its peer and by name: a proxy on this machine is a loopback peer, too, and
     * a name may lead elsewhere.
     */
    static boolean isLoopback(CallCredentials.RequestInfo call) {
        return isLoopback(call.getAuthority()) && isPeerLoopback(call);
    }

    /** Whether the connection goes to an address of this machine. */
    static boolean isPeerLoopback(CallCredentials.RequestInfo call) {
        SocketAddress peer = call.getTransportAttrs().get(Grpc.TRANSPORT_ATTR_REMOTE_ADDR);
        return peer instanceof InetSocketAddress address && address.getAddress() != null && address.getAddress().isLoopbackAddress();
    }
}
