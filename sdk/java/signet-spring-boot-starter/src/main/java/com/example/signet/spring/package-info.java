/** Protects Spring Boot services by access tokens of Signet: HTTP by Spring Security, gRPC by the guard of the SDK. */
package com.example.signet.spring;
