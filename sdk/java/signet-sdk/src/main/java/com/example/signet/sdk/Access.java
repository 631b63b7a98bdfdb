package com.example.signet.sdk;

import com.example.signet.identity.v1.Access.Authenticated;
import com.example.signet.identity.v1.Access.RuleCase;
import com.google.protobuf.ByteString;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.Message;

/** What a method declares: that everybody may call it, whom it lets in by a rule, or nothing that lets anybody in. */
record Access(Kind kind, Rule rule) {
    static final Access PUBLIC = new Access(Kind.PUBLIC, null);

    /** Nothing is declared, or what is declared is not understood: a later release has added it to ask for something. */
    static final Access DENIED = new Access(Kind.DENIED, null);

    /** The policy does not know the method: nobody is let in. */
    static final Access UNKNOWN = new Access(Kind.UNKNOWN, null);

    enum Kind { PUBLIC, RULE, DENIED, UNKNOWN }

    static Access of(Rule rule) {
        return new Access(Kind.RULE, rule);
    }

    /** What the bytes of an {@code identity.v1.Access} declare, read by the fields of this release. */
    static Access read(ByteString encoded) {
        com.example.signet.identity.v1.Access access;
        try {
            access = com.example.signet.identity.v1.Access.parseFrom(encoded);
        } catch (InvalidProtocolBufferException malformed) {
            return DENIED;
        }
        if (hasUnknown(access)) {
            return DENIED;
        }
        if (access.getRuleCase() == RuleCase.PUBLIC) {
            return hasUnknown(access.getPublic()) ? DENIED : PUBLIC;
        }
        if (access.getRuleCase() != RuleCase.AUTHENTICATED || hasUnknown(access.getAuthenticated())) {
            return DENIED;
        }
        return authenticated(access.getAuthenticated());
    }

    private static Access authenticated(Authenticated declared) {
        Rule.Builder rule = Rule.builder()
                .requiredScopes(declared.getRequiredScopesList().toArray(String[]::new))
                .anyScopes(declared.getAnyScopesList().toArray(String[]::new))
                .anyRoles(declared.getAnyRolesList().toArray(String[]::new));
        if (!declared.getAudience().isEmpty()) {
            rule.audience(declared.getAudience());
        }
        return switch (declared.getCallers()) {
            case CALLERS_UNSPECIFIED -> of(rule.build());
            case CALLERS_USER -> of(rule.callers(CallerKind.USER).build());
            case CALLERS_CLIENT -> of(rule.callers(CallerKind.CLIENT).build());
            default -> DENIED;
        };
    }

    private static boolean hasUnknown(Message message) {
        return !message.getUnknownFields().asMap().isEmpty();
    }
}
