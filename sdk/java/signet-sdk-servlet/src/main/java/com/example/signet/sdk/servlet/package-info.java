/** A servlet filter that lets in who has a good access token. */
package com.example.signet.sdk.servlet;
