/** The demo: a small model that travels in the jar, measured in every scheme. */
package io.lowbit.cli.demo;
