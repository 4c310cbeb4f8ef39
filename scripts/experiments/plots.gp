# SPDX-License-Identifier: MIT
# plots.gp: the pictures of the experiments. Called once for SVG and once for PNG, with `ending` and
# `out` set; the data are tab-separated files in `data`, with a line of names.
set datafile separator tab
set key top left reverse Left
set grid ytics lc rgb '#d0d7de'
set border 3
set tics nomirror
set style line 1 lc rgb '#0969da' lw 2 pt 7 ps 0.5
set style line 2 lc rgb '#1a7f37' lw 2 pt 5 ps 0.5
set style line 3 lc rgb '#9a6700' lw 2 pt 9 ps 0.6
set style line 4 lc rgb '#cf222e' lw 2 pt 11 ps 0.6

set output out.'/memory.'.ending
set xlabel 'keys, million'
set ylabel 'index, bytes a key'
set yrange [0:20]
plot data.'/memory.tsv' using (column('keys')/1e6):'growing_bytes' with linespoints ls 1 title 'while filling', \
     '' using (column('keys')/1e6):'reopened_bytes' with linespoints ls 2 title 'reopened'

set output out.'/key_length.'.ending
set yrange [0:*]
set xlabel 'length of the key, bytes'
set ylabel 'memory, bytes a key'
plot data.'/key_length.tsv' using 'key_size':'with_keys_bytes' with linespoints ls 4 title 'table with the keys in it', \
     '' using 'key_size':'index_bytes' with linespoints ls 1 title 'bitcask'

set ylabel 'time to open, ms'
set key center right noreverse Right
set output out.'/opening_keys.'.ending
set xlabel 'keys, million'
set logscale y
set yrange [*:*]
plot data.'/opening_keys.tsv' using (column('keys')/1e6):'scan' with linespoints ls 4 title 'no hints', \
     '' using (column('keys')/1e6):'mixed' with linespoints ls 3 title 'every other hint', \
     '' using (column('keys')/1e6):'hints' with linespoints ls 1 title 'hints', \
     '' using (column('keys')/1e6):'snapshot' with linespoints ls 2 title 'index snapshot'

set output out.'/opening_segments.'.ending
set xlabel 'segments'
set logscale x
plot data.'/opening_segments.tsv' using 'segments':'scan' with linespoints ls 4 title 'no hints', \
     '' using 'segments':'mixed' with linespoints ls 3 title 'every other hint', \
     '' using 'segments':'hints' with linespoints ls 1 title 'hints', \
     '' using 'segments':'snapshot' with linespoints ls 2 title 'index snapshot'
unset logscale

set key top left reverse Left
set style data histograms
set style histogram clustered gap 1.5
set style fill solid 0.8 noborder
set yrange [0:*]
set output out.'/footprint.'.ending
set xlabel 'dead bytes before the merge'
set ylabel 'on disk, MiB'
plot data.'/footprint.tsv' using 'before_mib':xtic(sprintf('%.0f%%', column('dead_percent'))) ls 4 title 'before', \
     '' using 'after_mib' ls 1 title 'after'

set output out.'/syncing.'.ending
set xlabel 'threads'
set ylabel 'puts a second'
set logscale y
set yrange [100:*]
set format y '10^{%T}'
plot data.'/syncing.tsv' using 'none':xtic(1) ls 2 title 'none', '' using 'interval' ls 1 title 'interval', \
     '' using 'always' ls 4 title 'always'
