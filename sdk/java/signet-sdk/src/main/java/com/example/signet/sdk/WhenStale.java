package com.example.signet.sdk;

/** What becomes of calls, and of open streams, when nothing was heard of revocations for too long. */
public enum WhenStale {
    /** They are refused, and streams end: UNAVAILABLE. */
    REFUSE,
    /** They go on by what was known; but never before the first snapshot. */
    CONTINUE
}
