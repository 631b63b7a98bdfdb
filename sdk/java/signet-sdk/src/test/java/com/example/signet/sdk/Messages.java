package com.example.signet.sdk;

import com.example.signet.identity.events.v1.Changes;
import com.example.signet.identity.events.v1.EndedClient;
import com.example.signet.identity.events.v1.Heartbeat;
import com.example.signet.identity.events.v1.Resync;
import com.example.signet.identity.events.v1.Snapshot;
import com.example.signet.identity.events.v1.WatchResponse;
import com.google.protobuf.ByteString;
import com.google.protobuf.Duration;
import com.google.protobuf.Timestamp;
import java.time.Instant;

/** Messages of the stream. */
final class Messages {
    private Messages() {}

    static WatchResponse snapshot() {
        return WatchResponse.newBuilder()
                .setResumeToken(ByteString.copyFromUtf8("snapshot"))
                .setSnapshot(Snapshot.newBuilder().setIsLast(true).setKeepFor(Duration.newBuilder().setSeconds(911)))
                .build();
    }

    static WatchResponse ended(String... sessions) {
        return changes(Changes.newBuilder().addAllEndedSessions(java.util.List.of(sessions)), "ended");
    }

    static WatchResponse endedClient(String client, Instant time) {
        Timestamp stamp = Timestamp.newBuilder().setSeconds(time.getEpochSecond()).setNanos(time.getNano()).build();
        return changes(Changes.newBuilder().addEndedClients(EndedClient.newBuilder().setClientId(client).setTime(stamp)), "client");
    }

    static WatchResponse keysChanged() {
        return changes(Changes.newBuilder().setKeysChanged(true), "keys");
    }

    static WatchResponse heartbeat(String resumeToken) {
        return WatchResponse.newBuilder()
                .setResumeToken(ByteString.copyFromUtf8(resumeToken))
                .setHeartbeat(Heartbeat.getDefaultInstance())
                .build();
    }

    static WatchResponse resync() {
        return WatchResponse.newBuilder().setResync(Resync.getDefaultInstance()).build();
    }

    private static WatchResponse changes(Changes.Builder changes, String resumeToken) {
        return WatchResponse.newBuilder().setResumeToken(ByteString.copyFromUtf8(resumeToken)).setChanges(changes).build();
    }
}
