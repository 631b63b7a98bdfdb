package com.example.signet.sdk;

import java.util.List;
import java.util.Set;
import java.util.stream.Collectors;

/** Where tokens of a source may go. */
record CallTargets(Set<String> authorities, boolean allowsPlaintext) {
    static CallTargets of(String... targets) {
        return new CallTargets(authorities(targets), false);
    }

    static CallTargets allowingPlaintext(String reason, String... targets) {
        if (reason.isBlank()) {
            throw new IllegalArgumentException("plaintext needs a reason");
        }
        return new CallTargets(authorities(targets), true);
    }

    /**
     * Why no token may go to {@code authority} over such a connection; null if one may. Over plaintext both name and peer are loopback
     * ones: a proxy on this machine is a loopback peer, too, and so is what an attacker's name leads to.
     */
    String problem(String authority, boolean isSecure, boolean isPeerLoopback) {
        if (!authorities.contains(Addresses.authority(authority))) {
            return "tokens of this source are not for " + authority;
        }
        boolean mayGo = isSecure || allowsPlaintext || (isPeerLoopback && Addresses.isLoopback(authority));
        return mayGo ? null : "tokens go over plaintext only to loopback addresses, or where the code allows it with a reason";
    }

    private static Set<String> authorities(String... targets) {
        if (targets.length == 0) {
            throw new IllegalArgumentException("at least one target is needed");
        }
        return List.of(targets).stream().map(Addresses::authority).collect(Collectors.toUnmodifiableSet());
    }
}
