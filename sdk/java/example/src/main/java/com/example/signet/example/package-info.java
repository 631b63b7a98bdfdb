/** A service and a client that use the SDK, and a measurement of what the guard costs. */
package com.example.signet.example;
