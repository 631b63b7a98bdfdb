package com.example.signet.sdk;

import java.util.concurrent.Executor;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.ThreadFactory;
import java.util.concurrent.ThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;

/** The threads of the SDK: daemons, so that none keeps a program from ending. */
final class Threads {
    /** How many calls go on at once after they have waited for keys: their handlers may block here. */
    private static final int RESUMING = 8;

    /**
     * Runs what must not run on the thread that was waited for. What waits here is bounded by whoever hands it over: at most
     * {@link IssuerKeys#MAX_WAITING} calls for each verifier.
     */
    static final Executor RESUME = pool();

    private Threads() {}

    static ThreadFactory daemons(String name) {
        AtomicInteger count = new AtomicInteger();
        return task -> {
            Thread thread = new Thread(task, name + "-" + count.incrementAndGet());
            thread.setDaemon(true);
            return thread;
        };
    }

    private static Executor pool() {
        ThreadPoolExecutor pool = new ThreadPoolExecutor(
                RESUMING, RESUMING, 30, TimeUnit.SECONDS, new LinkedBlockingQueue<>(), daemons("signet"));
        pool.allowCoreThreadTimeOut(true);
        return pool;
    }
}
