/** The demo's HTML page: one file with a table and SVG plots, made from measured results. */
package io.lowbit.cli.report;
