package com.example.signet.sdk;

import java.util.concurrent.Executor;
import java.util.concurrent.SynchronousQueue;
import java.util.concurrent.ThreadFactory;
import java.util.concurrent.ThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;

/** The threads of the SDK: daemons, so that none keeps a program from ending. */
final class Threads {
    /**
     * Runs what must not run on the thread that was waited for. Handlers may block here for as long as they like, so each has a thread of
     * its own, as on the executor of grpc-java: of a bounded number a few slow ones would keep all others from going on. How many come at
     * once is bounded by whoever hands them over: at most {@link IssuerKeys#MAX_WAITING} calls for each verifier.
     */
    static final Executor RESUME =
            new ThreadPoolExecutor(0, Integer.MAX_VALUE, 30, TimeUnit.SECONDS, new SynchronousQueue<>(), daemons("signet"));

    private Threads() {}

    static ThreadFactory daemons(String name) {
        AtomicInteger count = new AtomicInteger();
        return task -> {
            Thread thread = new Thread(task, name + "-" + count.incrementAndGet());
            thread.setDaemon(true);
            return thread;
        };
    }
}
