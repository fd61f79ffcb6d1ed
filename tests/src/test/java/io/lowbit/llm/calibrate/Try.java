package io.lowbit.llm.calibrate;

import io.lowbit.backend.*;
import io.lowbit.llm.*;
import io.lowbit.quant.*;
import io.lowbit.quant.calibrate.*;
import io.lowbit.tensor.*;
import java.lang.foreign.Arena;
import java.nio.file.*;
import java.util.*;

public class Try {
    public static void main(String[] a) throws Exception {
        Path folder = Path.of(a[0]);
        int samples = Integer.parseInt(a[1]);
        int[] test; int[] stream;
        ModelConfig config;
        try (Backend b = Backends.open("cpu", BackendOptions.DEFAULT).backend(); LlamaModel m = LlamaModel.load(folder, b, null, QuantizeOptions.DEFAULT); TextTokenizer t = TextTokenizer.load(folder)) {
            config = m.config();
            stream = Perplexity.stream(config, t, TextCorpus.read(folder.resolve("calibration.jsonl")));
            test = Perplexity.stream(config, t, TextCorpus.read(folder.resolve("test.jsonl")));
        }
        System.out.println(stream.length + " calibration tokens");
        CalibrationText text = CalibrationText.sample(stream, samples, 512, 0);
        for (int i = 2; i < a.length; i++) {
            String[] p = a[i].split(",");
            Scheme.Int4 scheme = new Scheme.Int4(Grouping.group(Integer.parseInt(p[2])), p[1].equals("sym"));
            GptqOptions g = GptqOptions.DEFAULT;
            if (p.length > 3 && p[3].contains("act")) g = g.withActOrder(true);
            if (p.length > 3 && p[3].contains("static")) g = g.withStaticGroups(true);
            if (p.length > 3 && p[3].contains("mse")) g = g.withClip(ClipSearch.GPTQ);
            long start = System.nanoTime();
            try (Backend b = Backends.open("cpu", BackendOptions.DEFAULT).backend(); Arena arena = Arena.ofShared()) {
                if (p[0].equals("hqq")) {
                    continue;
                }
                CalibrationOptions o = new CalibrationOptions(Algorithm.valueOf(p[0].toUpperCase()), scheme, g, AwqOptions.DEFAULT, 2);
                try (Calibrator c = Calibrator.open(folder, b, text, o, arena)) {
                    c.run(null, r -> { if (!r.note().isEmpty()) System.out.println(r); });
                    double s = (System.nanoTime() - start) * 1e-9;
                    System.out.printf("%s: %.1f s, perplexity %.4f%n", a[i], s, Perplexity.measure(c.model(), test, Integer.MAX_VALUE, _ -> {}).perplexity());
                }
            }
        }
    }
}
