package io.lowbit.cli;

/** Whether people watch. */
final class Terminal {
    private Terminal() {}

    /**
     * The launcher asks {@code [ -t 2 ]} and passes the answer in {@code lowbit.stderr.terminal}, since Java cannot
     * ask about standard error alone; without the launcher, a console on both input and output counts.
     */
    static boolean standardErrorIsTerminal() {
        String told = System.getProperty("lowbit.stderr.terminal");
        if (told != null) {
            return Boolean.parseBoolean(told);
        }
        return System.console() != null && System.console().isTerminal();
    }
}
