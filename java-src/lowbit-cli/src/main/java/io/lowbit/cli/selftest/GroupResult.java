package io.lowbit.cli.selftest;

/**
 * How a group of cases ended.
 *
 * @param group its name
 * @param passed true where every case held
 * @param checked how many were checked
 * @param detail one line: how many of what, and the first that is wrong
 */
public record GroupResult(String group, boolean passed, long checked, String detail) {}
