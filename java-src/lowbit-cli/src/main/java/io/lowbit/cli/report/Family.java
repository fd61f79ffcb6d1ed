package io.lowbit.cli.report;

import io.lowbit.quant.Scheme;

/** Schemes that share a colour and a mark. */
enum Family {
    DENSE("dense", "as stored (not quantized)"),
    INT4("int4", "INT4"),
    BNB("bnb", "NF4 and FP4 (bitsandbytes)"),
    E2M1("e2m1", "MXFP4 and NVFP4"),
    FP8("fp8", "FP8 and MXFP8"),
    OTHER("other", "INT8 and ggml's blocks");

    /** Suffix of its CSS class. */
    final String css;
    final String title;

    Family(String css, String title) {
        this.css = css;
        this.title = title;
    }

    static Family of(Scheme scheme) {
        return switch (scheme) {
            case Scheme.Dense _ -> DENSE;
            case Scheme.Int4 _ -> INT4;
            case Scheme.Bnb4 _ -> BNB;
            case Scheme.Mxfp4 _, Scheme.Nvfp4 _ -> E2M1;
            case Scheme.Fp8 _, Scheme.Mxfp8 _ -> FP8;
            case Scheme.Int8 _, Scheme.Ggml _ -> OTHER;
        };
    }

    /** The mark, centred on (x, y): families differ in shape as well as in colour. */
    String mark(double x, double y) {
        String shape = switch (this) {
            case DENSE -> Svg.format("<circle cx='%.1f' cy='%.1f' r='6'/><circle cx='%.1f' cy='%.1f' r='2.4' class='hole'/>", x, y, x, y);
            case INT4 -> Svg.format("<circle cx='%.1f' cy='%.1f' r='5'/>", x, y);
            case BNB -> Svg.format("<rect x='%.1f' y='%.1f' width='9' height='9'/>", x - 4.5, y - 4.5);
            case E2M1 -> Svg.format("<path d='M%.1f %.1f l6 10.5 h-12 z'/>", x, y - 6.5);
            case OTHER -> Svg.format("<path d='M%.1f %.1f h12 l-6 10.5 z'/>", x - 6, y - 5);
            case FP8 -> Svg.format("<path d='M%.1f %.1f l6 6 l-6 6 l-6 -6 z'/>", x, y - 6);
        };
        return "<g class='mark f-" + css + "'>" + shape + "</g>";
    }
}
