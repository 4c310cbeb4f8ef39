# SPDX-License-Identifier: MIT
# plots.gp: one picture of the benchmark. Called with the terminal and output set, `data` a
# tab-separated file of `columns`, and `name` what it shows: bar-WORKLOAD-SIZE, growth-WORKLOAD, latency-CALL.
set datafile separator tab
set datafile missing 'nan'
set border 3
set tics nomirror
set grid ytics lc rgb '#d0d7de'
array colours[10] = ['#0969da', '#cf222e', '#9a6700', '#1a7f37', '#8250df', '#bf3989', '#57606a', '#0550ae', '#953800', '#afb8c1']
kind = name[1:3]

if (kind eq 'bar') {
    set title name[5:*]
    set style fill solid 0.85 noborder
    set boxwidth 0.65
    set ylabel 'million operations a second, net'
    set yrange [0:*]
    set xtics rotate by -25
    unset key
    plot data using 0:2:(stringcolumn(1)[1:7] eq 'bitcask' ? 0x0969da : 0x8c959f):xtic(1) with boxes lc rgb variable, \
         '' using 0:3:(0):($4 - $3) with vectors nohead lw 2 lc rgb '#24292f'
}
if (kind eq 'gro') {
    set title name[8:*]
    set logscale xy
    set key outside right
    set xlabel 'keys'
    set format x '10^%T'
    set ylabel 'ns per operation, net'
    set format y '%g'
    plot for [i=2:columns] data using 1:i with linespoints lw 2 pt i + 3 ps 0.6 lc rgb colours[i - 1] title columnheader(i)
}
if (kind eq 'lat') {
    set title name[9:*].' at a fixed rate'
    set logscale xy
    set key outside right
    set format y '%g'
    set ylabel 'latency, us'
    set xlabel 'percentile'
    set xrange [1:1e6]
    set xtics ('0' 1, '50' 2, '90' 10, '99' 100, '99.9' 1e3, '99.99' 1e4, '99.999' 1e5, 'max' 1e6)
    plot for [i=2:columns] data using (100.0 / (100.0 - $1)):i with linespoints lw 2 pt i + 3 ps 0.5 lc rgb colours[i - 1] title columnheader(i)
}
