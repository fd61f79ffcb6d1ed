/** Commands that run a model over calibration text: compare and advise, and the options that quantize shares with them. */
package io.lowbit.cli.calibrate;
