/**
 * Flight Recorder events: when layers are loaded and repacked, and when kernels are launched. Without a recording they cost
 * nothing: their methods are empty then, and the compiler drops the objects.
 */
package io.lowbit.events;
