/**
 * Makes the self-contained bundle: a run time, the jars, the tests and their data in one archive. Runs in the build
 * ({@code -Pbundle}); nothing of it is inside.
 */
package io.lowbit.bundle;
