#!/bin/sh
# Makes what the simulated Reolink camera plays besides porch.h264, and from it: the same in H.265, a small picture,
# a still, and the chime in AAC. Made with ffmpeg 5.1.9 (libx264, libx265) of Debian 12.
set -eu
cd "$(dirname "$0")"
same="-g 25 -keyint_min 25 -sc_threshold 0 -bf 0 -threads 1 -an"
ffmpeg -v error -y -r 25 -i porch.h264 $same -c:v libx265 -preset slow -crf 26 \
  -x265-params "keyint=25:min-keyint=25:scenecut=0:bframes=0:open-gop=0:repeat-headers=1:info=0:log-level=error" -f hevc porch.h265
ffmpeg -v error -y -r 25 -i porch.h264 -vf scale=320:180 $same -c:v libx264 -profile:v main -preset veryslow -crf 26 -refs 1 \
  -bsf:v "filter_units=remove_types=6|9" -f h264 porch-small.h264
ffmpeg -v error -y -r 25 -i porch.h264 -frames:v 1 -q:v 6 porch.jpg
note() { echo "if(gte(t,$1),min((t-$1)/0.01,1)*exp(-2.5*(t-$1))*(sin(2*PI*$2*(t-$1))+0.25*sin(4*PI*$2*(t-$1))),0)"; }
ffmpeg -v error -y -f lavfi -i "aevalsrc='0.12*($(note 0.2 659.26)+$(note 0.7 523.25))':s=16000:d=5.12" \
  -c:a aac -b:a 24k -ac 1 -fflags +bitexact -flags:a +bitexact -f adts chime.aac
