# a comment
# escape=`
FROM d
RUN a `
RUN b \
  c
