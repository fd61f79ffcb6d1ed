/** JSON by RFC 8259, strictly: what headers, configurations and {@code --json} output are read and written with. */
package io.lowbit.checkpoint.json;
