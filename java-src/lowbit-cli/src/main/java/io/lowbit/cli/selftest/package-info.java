/** Checks that travel in the jar: golden vectors of the formats, and products of every scheme on every backend. */
package io.lowbit.cli.selftest;
