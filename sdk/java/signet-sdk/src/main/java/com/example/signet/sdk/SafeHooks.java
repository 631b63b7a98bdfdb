package com.example.signet.sdk;

/** The hooks of the application, whose failures stay away from calls. */
final class SafeHooks implements Hooks {
    private static final System.Logger LOG = System.getLogger(SafeHooks.class.getName());

    private final Hooks hooks;

    SafeHooks(Hooks hooks) {
        this.hooks = hooks;
    }

    @Override
    public void verified(String reason, boolean cached) {
        run(() -> hooks.verified(reason, cached));
    }

    @Override
    public void keysFetched(boolean ok) {
        run(() -> hooks.keysFetched(ok));
    }

    @Override
    public void revocations(RevocationsState state) {
        run(() -> hooks.revocations(state));
    }

    @Override
    public void streamEnded(String reason) {
        run(() -> hooks.streamEnded(reason));
    }

    @Override
    public void tokenRenewed(boolean ok) {
        run(() -> hooks.tokenRenewed(ok));
    }

    @Override
    public void callRetried() {
        run(hooks::callRetried);
    }

    private static void run(Runnable hook) {
        try {
            hook.run();
        } catch (RuntimeException failure) {
            LOG.log(System.Logger.Level.WARNING, "a hook has failed", failure);
        }
    }
}
