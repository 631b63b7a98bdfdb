/** An issuer in the process, for tests of services: keys, tokens for anybody, time that is turned by hand, and revocations. */
package com.example.signet.sdk.testing;
