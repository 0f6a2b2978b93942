#syntax=docker/dockerfile:1
# escape=\
# check=skip=all

ARG V=1
FROM d
RUN a \
  # comment <<EOF

  && b \   
#c
   && c
RUN \
  cat <<EOF \
  && npm ci
RUN no
EOF
RUN\
 npm ci
RUN a \\
RUN b
RU\
N npm ci
RUN <<EOF
a \
EOF
# escape=`
RUN c \

RUN npm ci \
