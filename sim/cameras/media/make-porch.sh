#!/bin/sh
# Draws porch.h264: ten seconds of an evening porch, 640x360, 25 frames a second, no B frames, a
# keyframe every second, seamless when looped (every movement has a period that divides 10 s).
# Made with ffmpeg 5.1.9 (libx264, freetype) and the DejaVu fonts of Debian 12.
set -eu
bold=/usr/share/fonts/truetype/dejavu/DejaVuSans-Bold.ttf
mono=/usr/share/fonts/truetype/dejavu/DejaVuSansMono-Bold.ttf
disc() { # size colour softness
  echo "color=c=$2:s=${1}x${1}:r=25:d=10,format=rgba,geq=r='r(X,Y)':g='g(X,Y)':b='b(X,Y)':a='255*clip(($1/2-hypot(X-$1/2,Y-$1/2))/$3,0,1)'"
}
ffmpeg -v error -y -f lavfi -i "color=c=0x1b2a49:s=640x360:r=25:d=10" -filter_complex "
[0]format=rgb24,geq=r='24+150*pow(Y/300,2)':g='38+72*pow(Y/300,2)':b='82+38*Y/300',format=rgba[sky];
$(disc 64 0xf8e9c0 3)[moon];
$(disc 260 0xffc063 120),colorchannelmixer=aa=0.75[glow];
$(disc 26 0xfff3cf 3)[lamp];
$(disc 34 0xd9483b 2),drawbox=x=15:y=0:w=4:h=34:color=0xf6d9d2@1:t=fill[ball];
$(disc 200 0xb4bdd4 80),scale=210:28,colorchannelmixer=aa=0.5[cloud];
[sky][moon]overlay=x=86:y=42[a];
[a][cloud]overlay=x='-210+mod(t*85,850)':y=66[b];
[b]drawbox=x=0:y=252:w=640:h=108:color=0x22331f:t=fill,
drawbox=x=0:y=252:w=640:h=3:color=0x31492c:t=fill,
drawbox=x=352:y=70:w=288:h=206:color=0x5a4636:t=fill,
drawbox=x=352:y=96:w=288:h=2:color=0x4b392b:t=fill,
drawbox=x=352:y=126:w=288:h=2:color=0x4b392b:t=fill,
drawbox=x=352:y=156:w=288:h=2:color=0x4b392b:t=fill,
drawbox=x=352:y=186:w=288:h=2:color=0x4b392b:t=fill,
drawbox=x=352:y=216:w=288:h=2:color=0x4b392b:t=fill,
drawbox=x=352:y=246:w=288:h=2:color=0x4b392b:t=fill,
drawbox=x=336:y=56:w=304:h=16:color=0x38291f:t=fill,
drawbox=x=400:y=120:w=78:h=156:color=0x7c2f2a:t=fill,
drawbox=x=400:y=120:w=78:h=156:color=0xe8dcc4:t=4,
drawbox=x=414:y=136:w=50:h=46:color=0x5f221f:t=fill,
drawbox=x=414:y=198:w=50:h=60:color=0x5f221f:t=fill,
drawbox=x=464:y=196:w=7:h=7:color=0xf2c14e:t=fill,
drawbox=x=532:y=124:w=82:h=72:color=0xf7c873:t=fill,
drawbox=x=532:y=124:w=82:h=72:color=0xe8dcc4:t=4,
drawbox=x=571:y=124:w=4:h=72:color=0xe8dcc4:t=fill,
drawbox=x=532:y=158:w=82:h=4:color=0xe8dcc4:t=fill,
drawbox=x=330:y=276:w=310:h=14:color=0x8a7156:t=fill,
drawbox=x=316:y=290:w=324:h=16:color=0x6f5a44:t=fill,
drawbox=x=500:y=104:w=10:h=6:color=0x1e1a17:t=fill[c];
[c][glow]overlay=x=375:y=-7:format=auto[d];
[d][lamp]overlay=x=492:y=110[e];
[e][ball]overlay=x='150+128*sin(2*PI*t/5)':y='276-64*abs(sin(2*PI*t/2))'[f];
[f]drawbox=x=0:y=320:w=640:h=40:color=0x0b0f14@0.72:t=fill,
drawtext=fontfile=$bold:text='PORCH':x=16:y=330:fontsize=21:fontcolor=0xf4f1ea,
drawtext=fontfile=$bold:text='simulated camera':x=112:y=333:fontsize=16:fontcolor=0xaab2bd,
drawtext=fontfile=$mono:text='%{eif\:trunc(t)\:d\:2}.%{eif\:mod(trunc(t*100+0.5),100)\:d\:2} s':x=508:y=328:fontsize=23:fontcolor=0xffd27a,
format=yuv420p[out]" -map "[out]" -t 10 \
  -c:v libx264 -profile:v main -preset veryslow -crf 22 -bf 0 -refs 1 \
  -g 25 -keyint_min 25 -sc_threshold 0 -threads 1 -color_range tv -colorspace bt709 -color_primaries bt709 -color_trc bt709 \
  -bsf:v "filter_units=remove_types=6|9" -f h264 "$(dirname "$0")/porch.h264"
