package com.example.signet.sdk;

import java.util.List;
import java.util.Map;

/** Holds a caller against a rule. */
final class RuleCheck {
    /** How many of several names, of which one will do, a refusal tells. */
    private static final int TOLD = 8;

    private RuleCheck() {}

    /** What the rule comes to. */
    sealed interface Verdict {}

    /** The call passes. */
    record Passes() implements Verdict {}

    /** It does not. */
    record Lacks(Reason reason, Map<String, String> metadata) implements Verdict {}

    /** The roles are not in the token: introspection is to be asked. */
    record AsksForRoles() implements Verdict {}

    private static final Verdict PASSES = new Passes();

    /** What {@code rule} comes to for a token that is meant for {@code audience}, among others perhaps. */
    static Verdict judge(Rule rule, String audience, Claims claims) {
        if (rule.callers().isPresent() && rule.callers().get() != claims.kind()) {
            return new Lacks(Reason.CALLER_NOT_ALLOWED, Map.of("callers", rule.callers().get().label()));
        }
        for (String scope : rule.requiredScopes()) {
            if (!claims.scopes().contains(scope)) {
                return new Lacks(Reason.INSUFFICIENT_SCOPE, Map.of("required_scope", scope));
            }
        }
        if (!rule.anyScopes().isEmpty() && rule.anyScopes().stream().noneMatch(claims.scopes()::contains)) {
            return new Lacks(Reason.INSUFFICIENT_SCOPE, Map.of("required_scope", told(rule.anyScopes())));
        }
        return rule.anyRoles().isEmpty() ? PASSES : roles(rule, audience, claims);
    }

    /** What the rule comes to if the caller has {@code roles}. */
    static Verdict judgeRoles(Rule rule, List<String> roles) {
        boolean hasOne = rule.anyRoles().stream().anyMatch(roles::contains);
        return hasOne ? PASSES : new Lacks(Reason.INSUFFICIENT_ROLE, required(rule));
    }

    private static Verdict roles(Rule rule, String audience, Claims claims) {
        // Of several audiences each gives its own meaning to a name.
        if (!claims.aud().equals(List.of(audience))) {
            return new Lacks(Reason.ROLES_NOT_IN_TOKEN, required(rule));
        }
        if (claims.roles() != null && rule.anyRoles().stream().anyMatch(claims.roles()::contains)) {
            return PASSES;
        }
        if (claims.rolesOmitted()) {
            return new AsksForRoles();
        }
        return claims.roles() == null ? new Lacks(Reason.ROLES_NOT_IN_TOKEN, required(rule)) : judgeRoles(rule, claims.roles());
    }

    private static Map<String, String> required(Rule rule) {
        return Map.of("required_role", told(rule.anyRoles()));
    }

    private static String told(List<String> names) {
        return String.join(" ", names.subList(0, Math.min(TOLD, names.size())));
    }
}
