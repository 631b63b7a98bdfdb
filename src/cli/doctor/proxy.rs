//! Owns which proxy seems to be in front, and the lines of its configuration that mend what it breaks.

use http::{HeaderMap, header};

/// What stands between the client and the service, as far as its answers tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Proxy {
    Nginx,
    Envoy,
    Haproxy,
    Caddy,
    Istio,
}

/// A line for each of the proxies that commonly break the same thing.
pub(super) struct Fixes {
    nginx: &'static str,
    envoy: &'static str,
    haproxy: &'static str,
    caddy: &'static str,
    istio: &'static str,
}

/// HTTP/2 on the side of the clients.
pub(super) const HTTP2: Fixes = Fixes {
    nginx: "`listen 443 ssl http2;`",
    envoy: "`alpn_protocols: [h2, http/1.1]` in the listener's `common_tls_context`",
    haproxy: "`bind :443 ssl crt FILE alpn h2,http/1.1`",
    caddy: "`protocols h1 h2` among the options of `servers`",
    istio: "`protocol: HTTPS` or `GRPC` for the port of the Gateway",
};

/// The same in plaintext.
pub(super) const HTTP2_IN_PLAINTEXT: Fixes = Fixes {
    nginx: "`listen 50051 http2;` in a `server` of its own",
    envoy: "no `codec_type: HTTP1` for the connection manager",
    haproxy: "`bind :50051 proto h2`",
    caddy: "`protocols h1 h2c` among the options of `servers`",
    istio: "`protocol: GRPC` for the port of the Gateway",
};

/// HTTP/2 on the side of the service.
pub(super) const UPSTREAM: Fixes = Fixes {
    nginx: "`grpc_pass grpc://SIGNET:50051;` in the place of `proxy_pass`",
    envoy: "`explicit_http_config: {http2_protocol_options: {}}` for the cluster",
    haproxy: "`server signet SIGNET:50051 proto h2`",
    caddy: "`reverse_proxy h2c://SIGNET:50051`",
    istio: "`appProtocol: grpc` for the Service's port",
};

/// Where calls are led to.
pub(super) const ROUTE: Fixes = Fixes {
    nginx: "`location ~ \"^/(identity\\.v1|grpc\\.health\\.v1)\\.\" { grpc_pass grpc://SIGNET:50051; }`",
    envoy: "a route with `match: {prefix: /identity.v1.}`, and no `grpc: {}` in it, to the cluster of --grpc-addr",
    haproxy: "`use_backend grpc if { path_beg /identity.v1. /grpc.health.v1. }`",
    caddy: "`@grpc path /identity.v1.* /grpc.health.v1.*` and `reverse_proxy @grpc h2c://SIGNET:50051`",
    istio: "`match: [{uri: {prefix: /identity.v1.}}]` in the VirtualService, to the port of --grpc-addr",
};

/// Where OAuth 2.0 and discovery are led to.
pub(super) const WEB_ROUTE: Fixes = Fixes {
    nginx: "`location / { proxy_pass http://SIGNET:8080; }`",
    envoy: "a route with `match: {prefix: /}`, behind those of gRPC, to the cluster of --http-addr",
    haproxy: "`default_backend http`, with `server signet SIGNET:8080`",
    caddy: "`reverse_proxy SIGNET:8080` behind that of gRPC",
    istio: "a last route without `match` in the VirtualService, to the port of --http-addr",
};

/// How large headers may be.
pub(super) const LARGE_HEADERS: Fixes = Fixes {
    nginx: "`large_client_header_buffers 4 16k;` in `http` or the first `server` of the address",
    envoy: "`max_request_headers_kb: 60` for the connection manager",
    haproxy: "`tune.bufsize 32768` in `global`",
    caddy: "`max_header_size 64KiB` among the options of `servers`",
    istio: "no smaller `max_request_headers_kb` than 60 by an EnvoyFilter",
};

/// How many calls a connection serves, and for how long.
pub(super) const CONNECTION_AGE: Fixes = Fixes {
    nginx: "`keepalive_requests 100000; keepalive_time 1h;`",
    envoy: "no `max_requests_per_connection`, and `max_connection_duration: 1800s`, in `common_http_protocol_options`",
    haproxy: "no `option httpclose`, and no small `tune.h2.fe.max-total-streams`",
    caddy: "no `Connection: close` among the headers that are set",
    istio: "no `maxRequestsPerConnection` in a DestinationRule",
};

/// How long a connection may be idle.
pub(super) const IDLE: Fixes = Fixes {
    nginx: "`keepalive_timeout 1h;`",
    envoy: "`idle_timeout: 3600s` in `common_http_protocol_options`",
    haproxy: "`timeout client 1h` and `timeout http-keep-alive 1h`",
    caddy: "`timeouts { idle 1h }` among the options of `servers`",
    istio: "`idleTimeout: 1h` in the DestinationRule's `connectionPool.http`",
};

/// How long a stream may be silent.
pub(super) const STREAM: Fixes = Fixes {
    nginx: "`grpc_read_timeout 1h;` and `grpc_send_timeout 1h;`",
    envoy: "`timeout: 0s` for the route and `stream_idle_timeout: 0s` for the connection manager",
    haproxy: "`timeout client 1h` and `timeout server 1h`",
    caddy: "`flush_interval -1` in `reverse_proxy`, and no `stream_timeout`",
    istio: "`timeout: 0s` for the route of the VirtualService",
};

/// What becomes of errors.
pub(super) const ERRORS: Fixes = Fixes {
    nginx: "`grpc_intercept_errors off;`, and no `grpc_hide_header`",
    envoy: "no `local_reply_config` for what the service answers, and no `response_headers_to_remove`",
    haproxy: "no `http-response del-header` or `http-error` for gRPC, and `tune.bufsize 32768`",
    caddy: "no `header_down -Grpc*` and no `handle_response`",
    istio: "no `headers.response.remove` in the VirtualService",
};

/// Who may send which content.
pub(super) const CONTENT: Fixes = Fixes {
    nginx: "the `location` by path alone, without `if ($content_type ...)`",
    envoy: "`match: {prefix: /identity.v1.}` without `grpc: {}`, which leaves out gRPC-Web and Connect",
    haproxy: "`path_beg` in the place of `hdr(content-type)`, which leaves out gRPC-Web and Connect",
    caddy: "`@grpc path ...` in the place of `@grpc header Content-Type ...`, which leaves out gRPC-Web and Connect",
    istio: "`uri: {prefix: /identity.v1.}` in the place of a match by `content-type`",
};

/// How long the key set is kept.
pub(super) const KEY_CACHE: Fixes = Fixes {
    nginx: "`expires off;`, no `add_header Cache-Control` and no `proxy_cache_valid` for /.well-known/",
    envoy: "no `response_headers_to_add` with `cache-control`, and no cache filter for /.well-known/",
    haproxy: "no `http-response set-header Cache-Control`, and `max-age 300` in the section `cache`",
    caddy: "no `header Cache-Control` for /.well-known/",
    istio: "no `headers.response.set` with `cache-control` in the VirtualService",
};

impl Proxy {
    /// The one that has written `headers`, or a page of its own.
    pub(super) fn of(headers: &HeaderMap, body: &[u8]) -> Option<Self> {
        let said = [header::SERVER, header::VIA].into_iter().flat_map(|name| headers.get_all(name));
        let said: Vec<_> =
            said.filter_map(|value| value.to_str().ok()).map(str::to_ascii_lowercase).collect();
        let says = |word: &str| said.iter().any(|value| value.contains(word));
        if says("istio") {
            Some(Self::Istio)
        } else if says("envoy") || headers.contains_key("x-envoy-upstream-service-time") {
            Some(Self::Envoy)
        } else if says("nginx") || says("openresty") {
            Some(Self::Nginx)
        } else if says("caddy") {
            Some(Self::Caddy)
        } else if said.is_empty() && body.starts_with(b"<html><body><h1>") {
            Some(Self::Haproxy)
        } else {
            None
        }
    }

    /// What it is called.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Envoy => "Envoy",
            Self::Haproxy => "HAProxy",
            Self::Caddy => "Caddy",
            Self::Istio => "Istio",
        }
    }
}

impl Fixes {
    /// The line for `proxy`; for each of them if it is not known.
    pub(super) fn of(&self, proxy: Option<Proxy>) -> String {
        let Self { nginx, envoy, haproxy, caddy, istio } = self;
        let all = [
            (Proxy::Nginx, nginx),
            (Proxy::Envoy, envoy),
            (Proxy::Haproxy, haproxy),
            (Proxy::Caddy, caddy),
            (Proxy::Istio, istio),
        ];
        let meant = all.iter().filter(|(of, _)| proxy.is_none_or(|proxy| proxy == *of));
        meant.map(|(of, line)| format!("{}: {line}", of.name())).collect::<Vec<_>>().join("; ")
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn a_proxy_is_known_by_what_it_writes_and_else_all_lines_are_told() {
        let of = |name: &'static str, value: &'static str| {
            let headers = HeaderMap::from_iter([(
                http::HeaderName::from_static(name),
                HeaderValue::from_static(value),
            )]);
            Proxy::of(&headers, b"")
        };
        assert_eq!(of("server", "nginx/1.22.1"), Some(Proxy::Nginx));
        assert_eq!(of("server", "istio-envoy"), Some(Proxy::Istio));
        assert_eq!(of("server", "envoy"), Some(Proxy::Envoy));
        assert_eq!(of("via", "1.1 Caddy"), Some(Proxy::Caddy));
        assert_eq!(of("x-request-id", "nginx"), None);
        let page =
            b"<html><body><h1>502 Bad Gateway</h1>\nThe server returned an invalid or incomplete response.\n";
        assert_eq!(Proxy::of(&HeaderMap::new(), page), Some(Proxy::Haproxy));

        assert_eq!(UPSTREAM.of(Some(Proxy::Caddy)), "Caddy: `reverse_proxy h2c://SIGNET:50051`");
        let all = UPSTREAM.of(None);
        assert!(
            ["nginx: ", "Envoy: ", "HAProxy: ", "Caddy: ", "Istio: "].iter().all(|name| all.contains(name))
        );
    }
}
