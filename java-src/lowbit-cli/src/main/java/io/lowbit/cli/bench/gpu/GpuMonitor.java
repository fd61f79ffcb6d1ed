package io.lowbit.cli.bench.gpu;

import io.lowbit.bindings.nvml.Nvml;
import io.lowbit.bindings.nvml.Symbols;
import io.lowbit.cuda.driver.Context;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SymbolLookup;
import java.lang.foreign.ValueLayout;
import java.util.Locale;

/** Reads a GPU's clocks, temperature and power through NVML where it is there, and says so where it is not. */
public final class GpuMonitor implements AutoCloseable {
    private static final String[] NAMES = {"libnvidia-ml.so.1", "/usr/lib/x86_64-linux-gnu/libnvidia-ml.so.1", "/usr/lib64/libnvidia-ml.so.1",
        "/usr/lib/wsl/lib/libnvidia-ml.so.1"};
    private static final String[] FUNCTIONS = {"nvmlInit_v2", "nvmlShutdown", "nvmlErrorString", "nvmlSystemGetDriverVersion",
        "nvmlDeviceGetHandleByPciBusId_v2", "nvmlDeviceGetClockInfo", "nvmlDeviceGetTemperature", "nvmlDeviceGetPowerUsage",
        "nvmlDeviceGetEnforcedPowerLimit"};

    private final MemorySegment device;
    private final String driver;
    private final String absence;

    /**
     * State at one moment; −1 for what this GPU does not tell.
     *
     * @param smMhz clock of the multiprocessors
     * @param memoryMhz clock of the memory
     * @param celsius of the GPU
     * @param milliwatts drawn now
     * @param limitMilliwatts that it may draw
     */
    public record State(int smMhz, int memoryMhz, int celsius, int milliwatts, int limitMilliwatts) {
        /** For example {@code 1980 MHz, memory 2619 MHz, 41 °C, 218 of 700 W}. */
        @Override
        public String toString() {
            return number(smMhz) + " MHz, memory " + number(memoryMhz) + " MHz, " + number(celsius) + " °C, "
                    + (milliwatts < 0 ? "?" : String.format(Locale.ROOT, "%.0f", milliwatts / 1000.0)) + " of "
                    + (limitMilliwatts < 0 ? "?" : String.format(Locale.ROOT, "%.0f", limitMilliwatts / 1000.0)) + " W";
        }

        private static String number(int value) {
            return value < 0 ? "?" : Integer.toString(value);
        }
    }

    private GpuMonitor(MemorySegment device, String driver, String absence) {
        this.device = device;
        this.driver = driver;
        this.absence = absence;
    }

    /** Finds NVML and the context's GPU in it; never fails. */
    public static GpuMonitor open(Context context) {
        SymbolLookup lookup = null;
        for (String name : NAMES) {
            try {
                lookup = SymbolLookup.libraryLookup(name, Arena.global());
                break;
            } catch (IllegalArgumentException e) {
                // the next name
            }
        }
        if (lookup == null) {
            return absent("no NVML (tried " + String.join(", ", NAMES) + ")");
        }
        for (String function : FUNCTIONS) {
            if (lookup.find(function).isEmpty()) {
                return absent("NVML lacks " + function);
            }
        }
        Symbols.install(lookup);
        int status = Nvml.nvmlInit_v2();
        if (status != Nvml.NVML_SUCCESS()) {
            return absent("NVML does not start: " + error(status));
        }
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment out = arena.allocate(ValueLayout.ADDRESS);
            status = Nvml.nvmlDeviceGetHandleByPciBusId_v2(arena.allocateFrom(context.pciBusId()), out);
            if (status != Nvml.NVML_SUCCESS()) {
                Nvml.nvmlShutdown();
                return absent("NVML does not know the GPU: " + error(status));
            }
            MemorySegment version = arena.allocate(96);
            String driver = Nvml.nvmlSystemGetDriverVersion(version, 96) == Nvml.NVML_SUCCESS() ? version.getString(0) : null;
            return new GpuMonitor(out.get(ValueLayout.ADDRESS, 0), driver, null);
        }
    }

    private static GpuMonitor absent(String reason) {
        return new GpuMonitor(null, null, reason + ": clocks, temperature and power are not known");
    }

    private static String error(int status) {
        return Nvml.nvmlErrorString(status).reinterpret(Long.MAX_VALUE).getString(0);
    }

    /** The state now; null where NVML is absent. */
    public State read() {
        if (device == null) {
            return null;
        }
        return new State(
                value(out -> Nvml.nvmlDeviceGetClockInfo(device, Nvml.NVML_CLOCK_SM(), out)),
                value(out -> Nvml.nvmlDeviceGetClockInfo(device, Nvml.NVML_CLOCK_MEM(), out)),
                value(out -> Nvml.nvmlDeviceGetTemperature(device, Nvml.NVML_TEMPERATURE_GPU(), out)),
                value(out -> Nvml.nvmlDeviceGetPowerUsage(device, out)),
                value(out -> Nvml.nvmlDeviceGetEnforcedPowerLimit(device, out)));
    }

    private interface Query {
        int ask(MemorySegment out);
    }

    private static int value(Query query) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment out = arena.allocate(ValueLayout.JAVA_INT);
            return query.ask(out) == Nvml.NVML_SUCCESS() ? out.get(ValueLayout.JAVA_INT, 0) : -1;
        }
    }

    /** The driver's own version, for example {@code 580.159.04}; null where it is not known. */
    public String driver() {
        return driver;
    }

    /** Why nothing is read; null where something is. */
    public String absence() {
        return absence;
    }

    @Override
    public void close() {
        if (device != null) {
            Nvml.nvmlShutdown();
        }
    }
}
